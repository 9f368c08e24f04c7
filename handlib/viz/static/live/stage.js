// What is seen: the picture with meshes, skeletons and landmarks over it, and beside it one mesh that turns.

import { element } from "../explorer.js";
import { MeshView, photographed } from "./mesh_view.js";
import { upright } from "./save.js";
import { TurnView } from "./turn_view.js";

/** @typedef {import("./engine.js").Hand} Hand */
/** @typedef {{right: Uint16Array, left: Uint16Array, colors: Uint8Array, jointNames: string[]}} Model */
/** @typedef {{mesh: boolean, skeleton: boolean, landmarks: boolean}} Shown */
/** @typedef {{hand: Hand, vertices_cam: Float32Array, joints_px: Float32Array}} Posed a hand at one of its steps */

const FINGER_COLORS = ["#e4572e", "#f3a712", "#3f8f5f", "#2e86ab", "#7b4b94"]; // thumb … little, as in Python
const PALM = [0, 5, 9, 13, 17]; // the hand turns about their middle: it stays where fingers move
const FINE = 900; // pixels of a drawing's longer side, at least: small pictures are shown large
const SPAN = 0.125; // meters: half the cube that the turning hand has

export class Stage {
  constructor() {
    this.picture = element("canvas", { width: 640, height: 480, role: "img", "aria-label": "No picture yet." });
    this.over = element("canvas", { class: "over mesh", "aria-hidden": "true" });
    this.lines = element("canvas", { class: "over", "aria-hidden": "true" });
    this.pen = this.lines.getContext("2d");
    this.view = new MeshView(this.over);
    this.turning = element("div", { class: "turning", tabindex: 0, role: "group" });
    this.turning.setAttribute("aria-label", "The mesh alone; drag it or press the arrow keys to turn it.");
    this.turner = new TurnView(this.turning, { eye: { x: 0.4, y: 0.2, z: 1.35 } });
    this.root = element("div", { class: "views" },
      element("div", { class: "photograph" }, this.picture, this.over, this.lines), this.turning);
    this.draws = Boolean(this.view.gl);
    this.fine = 1; // pixels of a drawing over those of the picture
    /** @type {ImageBitmap | ImageData | null} */
    this.shown = null;
  }

  /** @param {boolean} mirrored as a mirror shows it: for a camera that looks at its user */
  mirror(mirrored) {
    this.root.classList.toggle("mirrored", mirrored);
  }

  /** The stage is kept by it until the next one comes. @param {ImageBitmap | ImageData} picture */
  show(picture) {
    if (this.shown instanceof ImageBitmap && this.shown !== picture) this.shown.close();
    this.shown = picture;
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
   * @param {Posed[]} posed
   * @param {ArrayLike<number>} K of the pixels that `hands` count in
   * @param {number} reduced the shown picture over those pixels
   * @param {Model} model
   * @param {Shown} shown
   * @param {number} chosen which hand turns
   */
  draw(posed, K, reduced, model, shown, chosen) {
    const { width, height } = this.lines, scale = reduced * this.fine;
    this.pen.clearRect(0, 0, width, height);
    const meshes = shown.mesh ? posed.map(({ hand, vertices_cam }) => ({ vertices: vertices_cam, faces: model[hand.side] })) : [];
    this.view.draw(meshes, photographed(K, width / scale, height / scale));
    for (const { hand, joints_px } of posed) {
      if (shown.skeleton) this.drawSkeleton(joints_px, scale);
      if (shown.landmarks) this.drawLandmarks(hand, scale);
    }
    const one = posed[chosen];
    if (!one) return this.turner.show([], [0, 0, 0], SPAN);
    const vertices = upright(one.vertices_cam), joints = upright(one.hand.joints_cam);
    const center = [0, 1, 2].map((c) => PALM.reduce((sum, j) => sum + joints[3 * j + c], 0) / PALM.length);
    this.turner.show([{ vertices, faces: model[one.hand.side], colors: model.colors }], center, SPAN);
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

  /** The network's points, the fainter the less sure. @param {Hand} hand @param {number} scale */
  drawLandmarks({ landmarks_px, confidence }, scale) {
    const { pen } = this, radius = Math.max(3, this.lines.width / 130);
    confidence.forEach((sure, j) => {
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
