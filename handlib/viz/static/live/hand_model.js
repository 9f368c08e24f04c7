// The hand model of the engine: hand.js with what h means.

import { Hand } from "./hand.js";
import { arraysOf } from "./pack.js";
import { rotationOfQuaternion } from "./rotations.js";

export class HandModel extends Hand {
  /** @param {import("./pack.js").Pack} pack */
  constructor(pack) {
    const { jointNames, ...numbers } = pack.live.hand,
      arrays = arraysOf(pack, "hand.");
    super({ ...arrays, ...numbers, axes: pack.arrays["fit.axes"] });
    /** @type {string[]} 21, C21 order */
    this.jointNames = jointNames;
    /** @type {Uint8Array} 778 × 3 RGB bytes */
    this.colors = arrays.colors;
    this.scaleUnit = pack.live.constants.predict.SCALE_UNIT;
  }

  /**
   * Rows of vertices of each triangle; a mirror turns triangles inside out.
   * @param {"right" | "left"} side
   */
  facesOf(side) {
    return side === "right" ? this.faces : this.faces.map((_, n) => this.faces[n - 2 * (n % 3) + 2]);
  }

  /**
   * The mesh of h in the model's own frame, 2334 meters.
   * @param {Float64Array} h
   */
  meshOf(h) {
    return this.vertices(h.subarray(0, 45), h.subarray(45, 55));
  }

  /**
   * h's camera: model axes to the camera's, and crop units per meter.
   * @param {ArrayLike<number>} h
   */
  camera(h) {
    const rotation = rotationOfQuaternion([h[55], h[56], h[57], h[58]]).map((value, i) => (i < 3 ? value : -value));
    return { rotation, scale: this.scaleUnit * h[59], translation: [h[60], h[61], h[62]] };
  }

  /**
   * Points of the model's frame in crop coordinates.
   * @param {ArrayLike<number>} points
   * @param {ArrayLike<number>} h
   */
  toCrop(points, h) {
    const { rotation, scale, translation } = this.camera(h),
      crop = new Float64Array(points.length);
    for (let i = 0; i < points.length; i += 3) {
      for (let c = 0; c < 3; c++) {
        const r = 3 * c;
        crop[i + c] =
          scale * (rotation[r] * points[i] + rotation[r + 1] * points[i + 1] + rotation[r + 2] * points[i + 2]) +
          translation[c];
      }
    }
    return crop;
  }
}
