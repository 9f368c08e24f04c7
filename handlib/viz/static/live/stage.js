// What is seen: the picture with meshes, skeletons and landmarks over it, and beside it one mesh that turns.
//
// The live page and the page of `handlib predict` have the same.

import { button, checkbox, element } from "../dom.js";
import { MeshView, photographed } from "./mesh_view.js";
import { upright } from "./save.js";
import { TurnView } from "./turn_view.js";
import { handInWords } from "./words.js";

/**
 * @typedef {object} SeenHand a `Hand` of engine.js, or as much of one as is drawn
 * @property {"right" | "left"} side
 * @property {ArrayLike<number>} vertices_cam 2334, meters
 * @property {ArrayLike<number>} joints_cam 63, meters
 * @property {ArrayLike<number>} joints_px 42
 * @property {ArrayLike<number>} [landmarks_px] 42
 * @property {Float32Array} [confidence] 21
 *
 * @typedef {{vertices_cam: ArrayLike<number>, joints_px: ArrayLike<number>}} Posed a hand as it is, or at another step
 * @typedef {{right: Uint16Array, left: Uint16Array, colors: Uint8Array}} Model faces of either side; a color a vertex
 */

const FINGER_COLORS = ["#e4572e", "#f3a712", "#3f8f5f", "#2e86ab", "#7b4b94"]; // thumb … little, as in Python
const PALM = [0, 5, 9, 13, 17]; // the hand turns about their middle: it stays where fingers move
const FINE = 900; // pixels of a drawing's longer side, at least: small pictures are shown large
const SPAN = 0.125; // meters: half the cube that the turning hand has
const NO_CAMERA = [1, 0, 0, 0, 1, 0, 0, 0, 1];
const EYE = { x: 0.4, y: 0.2, z: 1.35 };

export class Stage {
  /**
   * @param {string} id for the controls' own
   * @param {Record<string, boolean>} shown of mesh, skeleton and landmarks those that may be shown, and whether they are
   * @param {(hand: number) => void} [onChoose] another hand, or another estimate, is the one that turns
   */
  constructor(id, shown, onChoose = () => {}) {
    this.layers = shown;
    this.onChoose = onChoose;
    this.picture = element("canvas", { width: 640, height: 480, role: "img", "aria-label": "No picture yet." });
    this.over = element("canvas", { class: "over mesh", "aria-hidden": "true" });
    this.lines = element("canvas", { class: "over", "aria-hidden": "true" });
    this.pen = this.lines.getContext("2d");
    this.view = new MeshView(this.over);
    this.turning = element("div", { class: "turning", tabindex: 0, role: "group" });
    this.turning.setAttribute("aria-label", "The mesh alone; drag it or press the arrow keys to turn it, plus and minus to come nearer and to step back.");
    this.turner = new TurnView(this.turning, EYE);
    this.root = element("div", { class: "views" },
      element("div", { class: "photograph" }, this.picture, this.over, this.lines), this.turning);
    this.show = element("div", { class: "buttons" }, ...Object.keys(shown).map((name) =>
      checkbox(`${id}-${name}`, name, shown[name], (on) => { shown[name] = on; this.draw(); })));
    this.which = element("div", { class: "buttons which", role: "group", "aria-label": "the hand that turns" });
    this.fine = 1; // pixels of a drawing over those of the picture
    this.chosen = 0;
    /** @type {SeenHand[]} */
    this.hands = [];
    /** @type {Posed[]} */
    this.posed = [];
    /** @type {ArrayLike<number>} */
    this.K = NO_CAMERA;
    this.reduced = 1;
    /** @type {ImageBitmap | ImageData | null} */
    this.held = null;
    /** @type {Model | null} */
    this.model = null;
  }

  /** @param {boolean} mirrored as a mirror shows it: for a camera that looks at its user */
  mirror(mirrored) {
    this.root.classList.toggle("mirrored", mirrored);
  }

  /** The stage keeps a picture until the next one comes. @param {ImageBitmap | ImageData} picture */
  hold(picture) {
    if (this.held instanceof ImageBitmap && this.held !== picture) this.held.close();
    this.held = picture;
    const { width, height } = picture;
    this.fine = Math.max(1, FINE / Math.max(width, height));
    resize(this.picture, width, height);
    for (const canvas of [this.over, this.lines]) resize(canvas, Math.round(this.fine * width), Math.round(this.fine * height));
    this.root.style.setProperty("--shape", String(width / height));
    const pen = this.picture.getContext("2d");
    if (picture instanceof ImageBitmap) pen.drawImage(picture, 0, 0);
    else pen.putImageData(picture, 0, 0);
  }

  /**
   * @param {SeenHand[]} hands
   * @param {ArrayLike<number> | null} K of the pixels that `hands` count in; null where there is none
   * @param {number} reduced the picture over those pixels
   */
  set(hands, K = NO_CAMERA, reduced = 1) {
    this.hands = hands;
    this.K = K ?? NO_CAMERA;
    this.reduced = reduced;
    const labels = hands.length > 1 ? hands.map((one) => `${one.side} hand`) : [];
    if (this.which.textContent !== labels.join("")) {
      this.which.replaceChildren(...labels.map((label, n) => button(label, () => this.choose(n))));
    }
    const name = !this.held ? "No picture yet." : `The picture, and drawn over it: ${hands.map(handInWords).join("; ") || "no hand"}.`;
    if (this.picture.getAttribute("aria-label") !== name) this.picture.setAttribute("aria-label", name);
    this.choose(Math.min(this.chosen, Math.max(hands.length - 1, 0)));
  }

  /** @param {number} hand */
  choose(hand) {
    this.chosen = hand;
    this.posed = this.hands;
    for (const [n, one] of [...this.which.children].entries()) one.setAttribute("aria-pressed", String(n === hand));
    this.onChoose(hand);
    this.draw();
  }

  /** @param {Posed[]} [posed] the hands at one of their steps */
  draw(posed = this.posed) {
    this.posed = posed;
    const { width, height } = this.lines, { hands, model, layers, K } = this, scale = this.reduced * this.fine;
    this.pen.clearRect(0, 0, width, height);
    if (!model) return;
    const meshes = posed.map(({ vertices_cam }, n) => ({ vertices: vertices_cam, faces: model[hands[n].side] }));
    this.view.draw(layers.mesh ? meshes : [], photographed(K, width / scale, height / scale));
    if (layers.skeleton) for (const { joints_px } of posed) this.drawSkeleton(joints_px, scale);
    if (layers.landmarks) for (const hand of hands) this.drawLandmarks(hand, scale);
    const one = posed[this.chosen];
    if (!one) return this.turner.show([], [0, 0, 0], SPAN);
    const { side, joints_cam } = hands[this.chosen], joints = upright(joints_cam);
    const center = [0, 1, 2].map((c) => PALM.reduce((sum, j) => sum + joints[3 * j + c], 0) / PALM.length);
    this.turner.show([{ vertices: upright(one.vertices_cam), faces: model[side], colors: model.colors }], center, SPAN);
  }

  /** @param {ArrayLike<number>} joints_px @param {number} scale */
  drawSkeleton(joints_px, scale) {
    const { pen } = this;
    pen.lineWidth = Math.max(2, this.lines.width / 160);
    FINGER_COLORS.forEach((color, finger) => {
      pen.strokeStyle = color;
      pen.beginPath();
      pen.moveTo(scale * joints_px[0], scale * joints_px[1]);
      for (let j = 4 * finger + 1; j <= 4 * finger + 4; j++) pen.lineTo(scale * joints_px[2 * j], scale * joints_px[2 * j + 1]);
      pen.stroke();
    });
  }

  /** The network's points, the fainter the less sure. @param {SeenHand} hand @param {number} scale */
  drawLandmarks({ landmarks_px, confidence }, scale) {
    const { pen } = this, radius = Math.max(3, this.lines.width / 130);
    if (!landmarks_px) return;
    confidence?.forEach((sure, j) => {
      pen.beginPath();
      pen.arc(scale * landmarks_px[2 * j], scale * landmarks_px[2 * j + 1], radius, 0, 2 * Math.PI);
      pen.globalAlpha = 0.25 + 0.75 * sure;
      pen.fillStyle = j ? FINGER_COLORS[Math.floor((j - 1) / 4)] : "#ffffff";
      pen.fill();
      pen.globalAlpha = 1;
      pen.lineWidth = radius / 4;
      pen.strokeStyle = "#000000";
      pen.stroke();
    });
  }
}

/** A canvas that is given a size is emptied. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function resize(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
}
