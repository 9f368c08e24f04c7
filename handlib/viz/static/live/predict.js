// From what was seen of hands to their meshes in the picture's camera, as handlib/photo/predict.py.
//
// A left hand is looked at in the mirror: everything up to the estimate is that of the right hand in the mirrored
// picture, whose K has its principal point mirrored too; such a frame is called the hand's own.

import { cropToPx, mirroredCrop } from "./crops.js";
import { sigmoid } from "./detectors.js";
import { logit } from "./find.js";
import { rigidMotion, rotationToRay } from "./lift.js";
import { inverseIntrinsics, projected } from "./posterior.js";
import { matrixProduct, turnedPoints } from "./rotations.js";

/**
 * @typedef {import("./crops.js").Crop} Crop
 * @typedef {import("./detectors.js").Evidence} Evidence
 * @typedef {import("./posterior.js").FitState} FitState
 *
 * @typedef {object} Look the last one at a hand
 * @property {boolean} left
 * @property {Crop} crop in the hand's own frame
 * @property {Evidence} evidence
 * @property {Float64Array} points_px 42, in the hand's own frame
 * @property {number} [score] of a hand that was checked
 * @property {Float64Array | null} [spread]
 *
 * @typedef {object} Refinement
 * @property {number} iterations
 * @property {FitState | null} [before] of the frame before
 * @property {import("./posterior.js").Noise} [noise]
 *
 * @typedef {{hand: import("./engine.js").Hand, state: FitState | null, residual: Float64Array}} Predicted
 */

export class Predictor {
  /**
   * @param {{landmarks: import("./detectors.js").LandmarkDetector, regressor: import("./regressor.js").Regressor,
   *   lifter: import("./lift.js").Lifter, hand: import("./hand_model.js").HandModel}} parts
   * @param {any} constants
   */
  constructor({ landmarks, regressor, lifter, hand }, constants) {
    this.landmarks = landmarks;
    this.regressor = regressor;
    this.lifter = lifter;
    this.hand = hand;
    this.constants = constants;
  }

  /**
   * A hand through the crop around its points, of a left one in the mirrored picture.
   * @param {import("./pyramid.js").Pyramid} image
   * @param {Crop} crop
   * @param {boolean} left
   * @returns {Look}
   */
  lastLook(image, crop, left) {
    const evidence = this.landmarks.look(image, crop, left),
      own = left ? mirroredCrop(crop, image.width) : crop;
    return { left, crop: own, evidence, points_px: cropToPx(own, evidence.points, 3) };
  }

  /**
   * K, and whether it was assumed.
   * @param {{width: number, height: number}} image
   * @param {{K?: number[] | number | null, focal_px?: number | null}} options
   * @param {Crop[]} crops of all hands
   * @returns {{K: Float64Array, assumed: boolean}}
   */
  camera({ width, height }, { K = null, focal_px = null }, crops) {
    const numbers = [K ?? focal_px ?? 1].flat();
    if ((typeof K !== "number" && K && K.length !== 9) || !numbers.every(Number.isFinite) || !(numbers[0] > 0)) {
      throw new Error("K must be nine numbers row by row, or a focal length in pixels");
    }
    if (K !== null && typeof K !== "number") return { K: Float64Array.from(K, Math.fround), assumed: false };
    const { FIELD_OF_VIEW, NEAREST, HAND_CROP } = this.constants.predict;
    const wide = Math.max(width, height) / 2 / Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
    const nearest = (NEAREST * Math.max(...crops.map((crop) => crop.side))) / HAND_CROP;
    const focal = Math.fround(K ?? focal_px ?? Math.max(wide, nearest));
    return { K: Float64Array.of(focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1), assumed: K === null };
  }

  /**
   * The estimate of what a look saw.
   * @param {Look} look
   * @param {Float64Array} K
   * @param {number} width of the picture
   * @param {Refinement} how
   * @param {import("./engine.js").EstimateOptions} options
   * @param {import("./engine.js").Estimate["times"]} times which are added to
   * @returns {Predicted}
   */
  estimate(look, K, width, { iterations, before = null, noise }, options, times) {
    const { evidence, crop, points_px, left } = look,
      own = left ? mirroredIntrinsics(K, width) : K,
      began = performance.now();
    const stages = /** @type {import("./engine.js").Stage[]} */ ([]);
    /** @type {(name: string, vertices: ArrayLike<number>, energy: number | null) => void} */
    const reach = (name, vertices, energy) => {
      const vertices_cam = mirroredPoints(vertices, left);
      stages.push({ name, vertices_cam, joints_px: this.jointsPx(vertices_cam, K), energy });
    };
    const states = this.regressor.states(evidence, options),
      last = states[states.length - 1];
    if (options.stages) states.forEach((state, n) => reach(`E3D step ${n}`, this.inCamera(state, crop, own), null));
    const regressed = performance.now(),
      objective = /** @type {number[]} */ ([]);
    times.e3d += regressed - began;
    let h = last.h,
      vertices = /** @type {Float64Array} */ (new Float64Array(0)),
      state = null,
      residual;
    if (iterations) {
      const guess = this.lifter.guess(evidence, this.inMeters(last), last.h.subarray(45, 55));
      guess.points = turnedPoints(turnAboutAxis(crop.angle), guess.points);
      /** @type {(state: FitState, energy: number, posterior: import("./posterior.js").Posterior) => void} */
      const onStep = (at, energy, posterior) => {
        const name = objective.length ? `refinement step ${objective.length}` : "refinement start";
        objective.push(energy);
        if (options.stages) reach(name, this.lifter.described(posterior, at).vertices, energy);
      };
      const lifted = this.lifter.fit(points_px, guess, own, {
        iterations,
        before,
        noise,
        space: options.points3d ?? true,
        onStep,
      });
      ({ h, vertices, state, residual } = lifted);
    } else {
      vertices = this.inCamera(last, crop, own);
      residual = this.lifter.unrefinedResidual(vertices, points_px, own);
    }
    times.refine += performance.now() - regressed;
    const vertices_cam = mirroredPoints(vertices, left),
      { x, y, side, angle } = left ? mirroredCrop(crop, width) : crop,
      score = look.score ?? evidence.presence;
    const hand = {
      side: this.constants.predict.SIDES[Number(left)],
      score,
      confidence: this.confidence(score, look.spread ?? null, residual),
      h,
      vertices_cam,
      joints_cam: this.hand.regress(vertices_cam),
      joints_px: this.jointsPx(vertices_cam, K),
      landmarks_px: Float32Array.from(mirroredPx(points_px, left, width)),
      presence: evidence.presence,
      crop: { center: [x, y], side, angle },
      placement: rigidMotion(this.hand.meshOf(h), vertices),
      stages,
      objective,
      track: null,
    };
    return { hand, state, residual };
  }

  /**
   * The probability that each joint is where it is in the picture, as confidence.py.
   * @param {number} score
   * @param {ArrayLike<number> | null} spread
   * @param {Float64Array} residual
   */
  confidence(score, spread, residual) {
    const {
        JOINT: [bias, a, b, c],
      } = this.constants.confidence,
      { UNCHECKED } = this.constants.predict;
    return Float32Array.from(residual, (off, j) =>
      sigmoid(
        bias + a * logit(score) + b * Math.log((spread ? spread[j] : UNCHECKED) + 0.01) + c * Math.log(off + 0.1),
      ),
    );
  }

  /**
   * E3D's vertices in meters along the crop's axes, relative to its middle MCP.
   * @param {import("./regressor.js").RegressedState} state
   */
  inMeters({ h, vertices }) {
    const turned = turnedPoints(this.hand.camera(h).rotation, vertices),
      joints = this.hand.regress(turned);
    const root = 3 * this.constants.posterior.MIDDLE_MCP;
    return turned.map((value, i) => value - joints[root + (i % 3)]);
  }

  /**
   * E3D's hand placed in the camera: as large as its own size in meters says, along its own ray.
   * @param {import("./regressor.js").RegressedState} state
   * @param {Crop} crop
   * @param {ArrayLike<number>} K
   */
  inCamera(state, crop, K) {
    const root = 3 * this.constants.posterior.MIDDLE_MCP,
      px = cropToPx(crop, state.joints.subarray(root, root + 2));
    const pxPerMeter = (this.hand.camera(state.h).scale * crop.side) / 2,
      depth = (K[0] + K[4]) / 2 / Math.max(pxPerMeter, 1e-6);
    const turn = matrixProduct(rotationToRay(px[0], px[1], K), turnAboutAxis(crop.angle));
    const place = turnedPoints(inverseIntrinsics(K), [px[0] * depth, px[1] * depth, depth]);
    return turnedPoints(turn, this.inMeters(state)).map((value, i) => value + place[i % 3]);
  }

  /**
   * @param {Float32Array} vertices_cam
   * @param {ArrayLike<number>} K
   */
  jointsPx(vertices_cam, K) {
    return Float32Array.from(projected(this.hand.regress(vertices_cam), [0, 0, 0], K));
  }
}

/**
 * K of the mirrored picture.
 * @param {ArrayLike<number>} K
 * @param {number} width
 */
function mirroredIntrinsics(K, width) {
  return Float64Array.of(K[0], -K[1], width - K[2], K[3], K[4], K[5], K[6], K[7], K[8]);
}

/**
 * Points of the camera's mirror image, where the hand is a left one.
 * @param {ArrayLike<number>} points
 * @param {boolean} left
 */
function mirroredPoints(points, left) {
  return Float32Array.from(points, (value, i) => (left && i % 3 === 0 ? -value : value));
}

/**
 * @param {Float64Array} points
 * @param {boolean} left
 * @param {number} width
 */
export function mirroredPx(points, left, width) {
  return left ? points.map((value, i) => (i % 2 ? value : width - value)) : points;
}

/** A turn about the optical axis. @param {number} angle */
function turnAboutAxis(angle) {
  const c = Math.cos(angle),
    s = Math.sin(angle);
  return [c, -s, 0, s, c, 0, 0, 0, 1];
}
