// A mesh that turns: dragged by mouse or finger, or by the arrow keys.

import { MeshView, lookingAt } from "./mesh_view.js";

/** @typedef {import("./mesh_view.js").Mesh} Mesh */
/** @typedef {{x: number, y: number, z: number}} Eye in sides of the cube that the mesh lies in; y is up */

const STEP = Math.PI / 18; // an arrow key turns the camera by so much
const STEEPEST = 1.5; // radians above or below
const BONE = 0.003; // meters: half the thickness of a drawn bone

/**
 * An eye turned around the middle.
 * @param {Eye} eye
 * @param {number} around radians to the right
 * @param {number} over radians up
 * @returns {Eye}
 */
export function turned({ x, y, z }, around, over) {
  const radius = Math.hypot(x, y, z), azimuth = Math.atan2(x, z) + around;
  const elevation = Math.min(Math.max(Math.asin(y / radius) + over, -STEEPEST), STEEPEST);
  const flat = radius * Math.cos(elevation);
  return { x: flat * Math.sin(azimuth), y: radius * Math.sin(elevation), z: flat * Math.cos(azimuth) };
}

export class TurnView {
  /**
   * @param {HTMLElement} figure filled with the canvas; takes the keys
   * @param {{eye: Eye, onTurn?: (eye: Eye) => void, keys?: boolean}} options keys: false where another listens to them
   */
  constructor(figure, { eye, onTurn = () => {}, keys = true }) {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true"); // the figure says what it shows
    figure.append(this.canvas);
    this.view = new MeshView(this.canvas);
    this.eye = eye;
    this.onTurn = onTurn;
    /** @type {{meshes: Mesh[], center: ArrayLike<number>, span: number}} */
    this.scene = { meshes: [], center: [0, 0, 0], span: 0.12 };
    this.waiting = 0;
    this.canvas.style.touchAction = "pan-y"; // a finger that moves up or down scrolls the page
    this.canvas.addEventListener("pointerdown", (event) => this.canvas.setPointerCapture(event.pointerId));
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.canvas.hasPointerCapture(event.pointerId)) return;
      const scale = Math.PI / Math.max(this.canvas.clientWidth, 1);
      this.turn(-event.movementX * scale, event.movementY * scale);
    });
    if (keys) {
      figure.addEventListener("keydown", (event) => {
        /** @type {Record<string, [number, number]>} */
        const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
        if (!(event.key in turns)) return;
        event.preventDefault();
        this.turn(STEP * turns[event.key][0], STEP * turns[event.key][1]);
      });
    }
    new ResizeObserver(() => this.redraw()).observe(figure);
  }

  /**
   * @param {Mesh[]} meshes with y up
   * @param {ArrayLike<number>} center of the cube that is shown
   * @param {number} span half its side
   */
  show(meshes, center, span) {
    this.scene = { meshes, center, span };
    this.redraw();
  }

  /**
   * @param {number} around
   * @param {number} over
   */
  turn(around, over) {
    this.look(turned(this.eye, around, over));
    this.onTurn(this.eye);
  }

  /** @param {Eye} eye */
  look(eye) {
    this.eye = eye;
    this.redraw();
  }

  // Once a frame, however many changes there were.
  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      const { clientWidth: width, clientHeight: height } = this.canvas, sharp = Math.min(devicePixelRatio || 1, 2);
      if (!width || !height) return;
      const [w, h] = [Math.round(width * sharp), Math.round(height * sharp)];
      if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
      const { meshes, center, span } = this.scene;
      this.view.draw(meshes, lookingAt(this.eye, center, span, w / h));
    });
  }
}

/**
 * What explorer.js asks of plotly.js, drawn by a `TurnView`: this page does without a library of 4 MB.
 *
 * The traces are a mesh and a skeleton.
 */
export const plotlyLike = {
  /** @param {any} figure @param {any[]} traces @param {any} layout */
  newPlot(figure, traces, layout) {
    const { camera, xaxis, yaxis, zaxis } = layout.scene;
    figure.layout = { scene: { camera } };
    figure.data = traces;
    const ranges = [xaxis, yaxis, zaxis].map(({ range: [low, high] }) => [low, high]);
    figure.turnView = new TurnView(figure, {
      eye: camera.eye, keys: false, onTurn: (eye) => (figure.layout.scene.camera.eye = eye),
    });
    figure.middle = ranges.map(([low, high]) => (low + high) / 2);
    figure.span = (ranges[0][1] - ranges[0][0]) / 2;
    this.redraw(figure);
    return Promise.resolve(figure);
  },
  /** @param {any} figure @param {Record<string, any[]>} changes @param {number[]} rows */
  restyle(figure, changes, rows) {
    for (const [name, values] of Object.entries(changes)) rows.forEach((row, n) => (figure.data[row][name] = values[n]));
    this.redraw(figure);
  },
  /** @param {any} figure @param {any} change */
  relayout(figure, change) {
    figure.layout.scene.camera = change["scene.camera"];
    figure.turnView.look(figure.layout.scene.camera.eye);
  },
  Plots: { resize: (/** @type {any} */ figure) => figure.turnView.redraw() },
  /** @param {any} figure */
  redraw(figure) {
    const [mesh, bones] = figure.data;
    const faces = Uint16Array.from({ length: 3 * mesh.i.length }, (_, n) => mesh["ijk"[n % 3]][Math.floor(n / 3)]);
    const colors = mesh.vertexcolor.flatMap((/** @type {string} */ text) => (text.match(/\d+/g) ?? []).map(Number));
    const rows = (/** @type {any} */ t) => Array.from(t.x, (x, n) => [x, t.y[n], t.z[n]]);
    const skin = { vertices: rows(mesh).flat(), faces, colors, opacity: mesh.opacity };
    const meshes = bones.visible ? [skeleton(rows(bones), bones.line.color), skin] : [skin];
    figure.turnView.show(meshes, figure.middle, figure.span);
  },
};

/**
 * Bones as slim double pyramids between the points that follow one another; NaN keeps chains apart.
 * @param {number[][]} points
 * @param {string[]} css their colors, #rrggbb
 * @returns {Mesh}
 */
function skeleton(points, css) {
  /** @type {number[]} */
  const vertices = [], faces = [], colors = [];
  for (let n = 0; n + 1 < points.length; n++) {
    const [a, b] = [points[n], points[n + 1]], along = a.map((value, k) => b[k] - value);
    const length = Math.hypot(...along);
    if (!(length > 0)) continue;
    const first = vertices.length / 3, thin = along.map(Math.abs).indexOf(Math.min(...along.map(Math.abs)));
    const across = unit(cross(along, [0, 1, 2].map((k) => Number(k === thin)))), over = unit(cross(along, across));
    vertices.push(...a, ...b);
    for (const [u, v] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
      vertices.push(...a.map((value, k) => value + along[k] / 4 + BONE * (u * across[k] + v * over[k])));
    }
    for (let k = 0; k < 4; k++) for (const end of [0, 1]) faces.push(first + end, first + 2 + k, first + 2 + ((k + 1) % 4));
    const rgb = [1, 3, 5].map((at) => parseInt(css[n].slice(at, at + 2), 16));
    for (let k = 0; k < 6; k++) colors.push(...rgb);
  }
  return { vertices, faces: Uint16Array.from(faces), colors };
}

/** @param {number[]} a @param {number[]} b */
const cross = (a, b) => [0, 1, 2].map((k) => a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3]);

/** @param {number[]} a */
const unit = (a) => a.map((value) => value / Math.hypot(...a));
