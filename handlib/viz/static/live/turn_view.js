// A mesh that turns: dragged by mouse or finger, or by the arrow keys; plus and minus bring it nearer and farther.

import { MeshView, lookingAt } from "./mesh_view.js";

/** @typedef {import("./mesh_view.js").Mesh} Mesh */
/** @typedef {{x: number, y: number, z: number}} Eye in sides of the cube that the mesh lies in; y is up */

const STEP = Math.PI / 18; // an arrow key turns the camera by so much
const STEEPEST = 1.5; // radians above or below
const ZOOM = 1.15; // how much nearer plus brings the camera
const NEAREST = 0.5, FARTHEST = 4; // in sides of the cube
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
   * @param {Eye} eye
   */
  constructor(figure, eye) {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true"); // the figure says what it shows
    figure.append(this.canvas);
    this.view = new MeshView(this.canvas);
    this.eye = eye;
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
    figure.addEventListener("keydown", (event) => {
      const known = event.target === figure && !event.ctrlKey && !event.metaKey && !event.altKey && this.key(event.key);
      if (known) event.preventDefault();
    });
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

  /** Whether a key means something here; it is then done. @param {string} key */
  key(key) {
    /** @type {Record<string, [number, number]>} */
    const turns = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    if (key in turns) this.turn(...turns[key]);
    else if (key === "+" || key === "=") this.zoom(1 / ZOOM);
    else if (key === "-") this.zoom(ZOOM);
    else return false;
    return true;
  }

  /**
   * @param {number} around
   * @param {number} over
   */
  turn(around, over) {
    this.look(turned(this.eye, around, over));
  }

  /** @param {number} factor of the distance */
  zoom(factor) {
    const { x, y, z } = this.eye, radius = Math.hypot(x, y, z);
    const scale = Math.min(Math.max(radius * factor, NEAREST), FARTHEST) / radius;
    this.look({ x: x * scale, y: y * scale, z: z * scale });
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
 * The bones of five fingers as slim double pyramids, each from the wrist to its tip.
 * @param {ArrayLike<number>} joints 21 × 3, C21 order
 * @param {string[]} css a color for each finger, #rrggbb
 * @returns {Mesh}
 */
export function bones(joints, css) {
  /** @type {number[]} */
  const vertices = [], faces = [], colors = [];
  for (let joint = 1; joint < 21; joint++) {
    const finger = Math.floor((joint - 1) / 4), parent = (joint - 1) % 4 ? joint - 1 : 0;
    const [a, b] = [parent, joint].map((j) => [0, 1, 2].map((c) => joints[3 * j + c]));
    const along = a.map((value, c) => b[c] - value), first = vertices.length / 3;
    const thin = along.map(Math.abs).indexOf(Math.min(...along.map(Math.abs)));
    const across = unit(cross(along, [0, 1, 2].map((c) => Number(c === thin)))), over = unit(cross(along, across));
    vertices.push(...a, ...b);
    for (const [u, v] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
      vertices.push(...a.map((value, c) => value + along[c] / 4 + BONE * (u * across[c] + v * over[c])));
    }
    for (let k = 0; k < 4; k++) for (const end of [0, 1]) faces.push(first + end, first + 2 + k, first + 2 + ((k + 1) % 4));
    const rgb = [1, 3, 5].map((at) => parseInt(css[finger].slice(at, at + 2), 16));
    for (let k = 0; k < 6; k++) colors.push(...rgb);
  }
  return { vertices, faces: Uint16Array.from(faces), colors };
}

/** @param {number[]} a @param {number[]} b */
const cross = (a, b) => [0, 1, 2].map((k) => a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3]);

/** @param {number[]} a */
const unit = (a) => a.map((value) => value / (Math.hypot(...a) || 1));
