// Meshes drawn by WebGL: smooth, lit from the viewer, over a picture or turning on their own.
//
// A browser gives a page about sixteen WebGL contexts. One is enough: it draws unseen, and each view copies its picture.

/**
 * @typedef {object} Mesh
 * @property {ArrayLike<number>} vertices v × 3, any frame
 * @property {Uint16Array} faces f × 3
 * @property {ArrayLike<number>} [colors] v × 3 RGB bytes; else blue, as Python's overlays have it
 * @property {number} [opacity] 1; those below come last
 *
 * @typedef {{matrix: Float32Array, look: [number, number, number]}} View
 * matrix: to clip coordinates, column by column; look: the direction of view in the mesh's frame
 */

const BLUE = [107, 173, 237];
const NEAR = 0.02, FAR = 20; // meters
const VERTEX = `
attribute vec3 position, normal, color;
uniform mat4 matrix;
uniform vec3 look;
varying vec3 shaded;
void main() {
  gl_Position = matrix * vec4(position, 1.0);
  shaded = color * (0.35 + 0.65 * abs(dot(normalize(normal), look)));
}`;
const FRAGMENT = `
precision mediump float;
varying vec3 shaded;
uniform float opacity;
void main() { gl_FragColor = vec4(shaded, 1.0) * opacity; }`;

/** A canvas on which meshes are drawn. */
export class MeshView {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    /** @type {[Mesh[], View] | null} */
    this.drawn = null;
    painter ??= new Painter();
  }

  /** Whether this browser draws meshes at all. */
  get works() {
    return Boolean(painter?.gl);
  }

  /**
   * Draws meshes on a transparent ground.
   * @param {Mesh[]} meshes
   * @param {View} view
   */
  draw(meshes, view) {
    this.drawn = [meshes, view];
    const { width, height } = this.canvas;
    this.pen?.clearRect(0, 0, width, height);
    if (!painter || !this.pen || !meshes.length) return;
    painter.keep(this);
    painter.draw(meshes, view, width, height);
    this.pen.drawImage(painter.canvas, 0, painter.canvas.height - height, width, height, 0, 0, width, height);
  }
}

/** @type {Painter | null} */
let painter = null;

class Painter {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.gl = this.canvas.getContext("webgl", { antialias: true });
    /** @type {Set<MeshView>} */
    this.views = new Set();
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      for (const view of this.views) if (view.drawn) view.draw(...view.drawn);
    });
    this.prepare();
  }

  /** A view to draw again should the context be lost; those that left the page are not. @param {MeshView} view */
  keep(view) {
    for (const other of this.views) if (!other.canvas.isConnected) this.views.delete(other);
    this.views.add(view);
  }

  prepare() {
    const { gl } = this;
    if (!gl) return;
    const program = gl.createProgram();
    for (const [kind, text] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = gl.createShader(kind);
      if (!shader) return; // the context is lost; it may come back
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    const names = ["position", "normal", "color"];
    names.forEach((name, n) => gl.bindAttribLocation(program, n, name));
    gl.linkProgram(program);
    gl.useProgram(program);
    const place = (/** @type {string} */ name) => gl.getUniformLocation(program, name);
    this.uniforms = { matrix: place("matrix"), look: place("look"), opacity: place("opacity") };
    this.buffers = names.map(() => gl.createBuffer());
    this.indices = gl.createBuffer();
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.indices);
    names.forEach((_, n) => gl.enableVertexAttribArray(n));
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /**
   * Draws into the lower left corner of the canvas, which only grows.
   * @param {Mesh[]} meshes
   * @param {View} view
   * @param {number} width
   * @param {number} height
   */
  draw(meshes, view, width, height) {
    const { canvas, gl, buffers, uniforms } = this;
    if (canvas.width < width) canvas.width = width;
    if (canvas.height < height) canvas.height = height;
    if (!gl || !buffers || !uniforms) return;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix4fv(uniforms.matrix, false, view.matrix);
    gl.uniform3fv(uniforms.look, view.look);
    for (const { vertices, faces, colors, opacity = 1 } of meshes) {
      gl.uniform1f(uniforms.opacity, opacity);
      const tint = Uint8Array.from({ length: vertices.length }, (_, n) => (colors ? colors[n] : BLUE[n % 3]));
      const arrays = [Float32Array.from(vertices), normals(vertices, faces), tint];
      arrays.forEach((array, n) => {
        gl.bindBuffer(gl.ARRAY_BUFFER, buffers[n]);
        gl.bufferData(gl.ARRAY_BUFFER, array, gl.DYNAMIC_DRAW);
        const bytes = array instanceof Uint8Array;
        gl.vertexAttribPointer(n, 3, bytes ? gl.UNSIGNED_BYTE : gl.FLOAT, bytes, 0, 0);
      });
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.DYNAMIC_DRAW);
      const fill = () => gl.drawElements(gl.TRIANGLES, faces.length, gl.UNSIGNED_SHORT, 0);
      if (opacity < 1) { // its depth first, or one would see its far side through it
        gl.colorMask(false, false, false, false);
        fill();
        gl.colorMask(true, true, true, true);
      }
      fill();
    }
  }
}

/**
 * Vertex normals: the sum of the normals of a vertex's faces, weighted by area; of unit length where there is one.
 * @param {ArrayLike<number>} vertices
 * @param {ArrayLike<number>} faces
 */
export function normals(vertices, faces) {
  const sums = new Float32Array(vertices.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const [ux, uy, uz] = [0, 1, 2].map((k) => vertices[b + k] - vertices[a + k]);
    const [vx, vy, vz] = [0, 1, 2].map((k) => vertices[c + k] - vertices[a + k]);
    const normal = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
    for (const at of [a, b, c]) for (let k = 0; k < 3; k++) sums[at + k] += normal[k];
  }
  for (let n = 0; n < sums.length; n += 3) {
    const length = Math.hypot(sums[n], sums[n + 1], sums[n + 2]) || 1;
    for (let k = 0; k < 3; k++) sums[n + k] /= length;
  }
  return sums;
}

/**
 * The photograph's own camera.
 * @param {ArrayLike<number>} K nine numbers row by row, in pixels of a picture of this size
 * @param {number} width
 * @param {number} height
 * @returns {View}
 */
export function photographed(K, width, height) {
  const depth = (FAR + NEAR) / (FAR - NEAR), shift = (-2 * FAR * NEAR) / (FAR - NEAR);
  return {
    matrix: Float32Array.of(
      (2 * K[0]) / width, 0, 0, 0,
      (2 * K[1]) / width, (-2 * K[4]) / height, 0, 0,
      (2 * K[2]) / width - 1, 1 - (2 * K[5]) / height, depth, 1,
      0, 0, shift, 0,
    ),
    look: [0, 0, 1],
  };
}

/**
 * A camera that looks at the middle of a cube.
 * @param {{x: number, y: number, z: number}} eye where it stands, in sides of the cube from its middle; y is up
 * @param {ArrayLike<number>} center
 * @param {number} span half the cube's side
 * @param {number} aspect width over height
 * @returns {View}
 */
export function lookingAt(eye, center, span, aspect) {
  const radius = Math.hypot(eye.x, eye.y, eye.z);
  const back = [eye.x / radius, eye.y / radius, eye.z / radius];
  const flat = Math.hypot(back[0], back[2]) || 1;
  const right = [back[2] / flat, 0, -back[0] / flat];
  const up = [back[1] * right[2], back[2] * right[0] - back[0] * right[2], -back[1] * right[0]];
  const scale = 1 / (2 * span), focal = 1 / Math.tan(Math.PI / 8) / Math.max(1, 1 / aspect);
  const at = [right, up, back].map((axis) => axis.reduce((sum, value, k) => sum - value * center[k] * scale, 0));
  const [near, far] = [0.05, 10], depth = -(far + near) / (far - near), shift = (-2 * far * near) / (far - near);
  const columns = [0, 1, 2].flatMap((k) => [
    (focal / aspect) * right[k] * scale, focal * up[k] * scale, depth * back[k] * scale, -back[k] * scale,
  ]);
  const z = at[2] - radius;
  const matrix = Float32Array.of(...columns, (focal / aspect) * at[0], focal * at[1], depth * z + shift, -z);
  return { matrix, look: [-back[0], -back[1], -back[2]] };
}
