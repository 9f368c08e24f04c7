// What a fit minimizes, of one hand: Eq. 13 with a prior, limits and points in space, as handlib/fitting/posterior.py.

import { extent } from "./crops.js";
import { matrixProduct, rotationOfVector, transposedMatrix, turnedPoints, vectorOfRotation } from "./rotations.js";

export const POINTS = 21; // of a landmark set
export const SHAPES = 10; // numbers of β

/**
 * @typedef {object} FitState
 * @property {Float64Array} z pose in standard deviations of its prior
 * @property {Float64Array} beta
 * @property {Float64Array} rotation model axes to camera axes
 * @property {Float64Array} place root in the image, pixels, and the logarithm of the pixels per meter at its depth
 *
 * @typedef {object} Noise standard deviations, as `Noise` of posterior.py
 * @property {number} points
 * @property {number[]} points_3d
 * @property {number} outlier
 * @property {number} outlier_3d
 * @property {number} shape of β about a network's
 * @property {number} step_pose
 * @property {number} step_shape
 * @property {number} step_turn
 * @property {number} step_place
 *
 * @typedef {object} Observation
 * @property {ArrayLike<number>} points_px 42
 * @property {ArrayLike<number>} weight 21
 * @property {ArrayLike<number>} K 9
 * @property {ArrayLike<number> | null} points_3d 63, about any origin
 * @property {FitState | null} before the same hand in the frame before
 * @property {ArrayLike<number> | null} beta what a network says of the shape
 */

export class Posterior {
  /**
   * @param {import("./anatomy.js").Anatomy} anatomy
   * @param {Observation} seen
   * @param {Noise} noise
   * @param {any} constants of posterior.py
   */
  constructor(anatomy, seen, noise, constants) {
    this.anatomy = anatomy;
    this.seen = seen;
    this.noise = noise;
    this.constants = constants;
    const { left, top, right, bottom, side } = extent(seen.points_px),
      wide = constants.CROP_FACTOR * side;
    /** The crop around the points: left, top, side in pixels. */
    this.box = [(left + right - wide) / 2, (top + bottom - wide) / 2, wide];
    this.sigma = noise.points * wide;
    this.size = anatomy.k + SHAPES + 6; // numbers of a step
    this.shape = seen.beta ? noise.shape : 1;
    this.softness = (constants.SOFTNESS * Math.PI) / 180;
    this.total = Array.from(seen.weight).reduce((sum, weight) => sum + weight, 0);
    this.inverseK = inverseIntrinsics(seen.K);
    const { k } = anatomy,
      n = noise;
    this.steps = Float64Array.from({ length: this.size }, (_, i) =>
      i < k
        ? n.step_pose
        : i < k + 10
          ? n.step_shape
          : i < k + 13
            ? n.step_turn
            : n.step_place * (i < k + 15 ? wide : 1),
    );
  }

  /**
   * All points along camera axes, relative to the root.
   * @param {FitState} state
   */
  points(state) {
    return this.placed(this.anatomy.skeleton.points(this.anatomy.pose(state.z), state.beta), state);
  }

  /**
   * @param {Float64Array} points
   * @param {FitState} state
   */
  placed(points, state) {
    const root = 3 * this.constants.MIDDLE_MCP,
      [x, y, z] = points.subarray(root, root + 3);
    for (let i = 0; i < points.length; i += 3) {
      points[i] -= x;
      points[i + 1] -= y;
      points[i + 2] -= z;
    }
    return turnedPoints(state.rotation, points);
  }

  /** The root in the camera frame. @param {ArrayLike<number>} place */
  root(place) {
    const { K } = this.seen,
      depth = ((K[0] + K[4]) / 2) * Math.exp(-place[2]);
    return turnedPoints(this.inverseK, [place[0] * depth, place[1] * depth, depth]);
  }

  /**
   * In standard deviations, before ρ: 42 in the image, 63 in space, and of what is known.
   * @param {FitState} state
   */
  residuals(state, points = this.points(state)) {
    const { seen, noise, anatomy, box, constants } = this;
    const image = projected(points.subarray(0, 3 * POINTS), this.root(state.place), seen.K, constants.NEAREST);
    for (let i = 0; i < image.length; i++)
      image[i] = ((image[i] - seen.points_px[i]) / this.sigma) * Math.sqrt(seen.weight[i >> 1]);
    let space = null;
    if (seen.points_3d) {
      const guess = seen.points_3d,
        last = points.length - 3 * POINTS;
      space = Float64Array.from({ length: 3 * POINTS }, (_, i) => points[last + i] - guess[i]);
      this.center(space, 3);
      for (let i = 0; i < space.length; i++)
        space[i] *= Math.sqrt(seen.weight[Math.floor(i / 3)]) / noise.points_3d[i % 3];
    }
    const { k } = anatomy,
      known = new Float64Array(k + 56 + (seen.before ? this.size : 0)),
      excess = anatomy.excess(anatomy.pose(state.z));
    known.set(state.z);
    state.beta.forEach((value, i) => (known[k + i] = (value - (seen.beta?.[i] ?? 0)) / this.shape));
    for (let n = 0; n < 45; n++) known[k + 10 + n] = excess[n] / this.softness;
    known[k + 55] =
      (state.place[2] - Math.log(box[2] / constants.CROP_FACTOR / constants.EXTENT)) / constants.SIZE_SPREAD;
    if (seen.before) stepBetween(seen.before, state).forEach((step, i) => (known[k + 56 + i] = step / this.steps[i]));
    return { image, space, known };
  }

  /** @param {FitState} state */
  energy(state) {
    const { image, space, known } = this.residuals(state);
    let total = robustSum(image, 2, this.noise.outlier) + robustSum(known, 1, Infinity);
    if (space) total += robustSum(space, 3, this.noise.outlier_3d);
    return total / 2;
  }

  /**
   * Takes from 21 blocks of numbers their mean, by weight.
   * @param {Float64Array} values
   * @param {number} block
   */
  center(values, block) {
    const mean = new Float64Array(block);
    for (let j = 0, at = 0; j < POINTS; j++) {
      const share = this.seen.weight[j] / this.total;
      for (let i = 0; i < block; i++, at++) mean[i] += share * values[at];
    }
    for (let at = 0; at < values.length; at++) values[at] -= mean[at % block];
  }
}

/**
 * Σ ρ of squared lengths, Geman–McClure's: never more than outlier² each.
 * @param {Float64Array} values
 * @param {number} dimensions
 * @param {number} outlier
 */
function robustSum(values, dimensions, outlier) {
  let total = 0;
  for (let i = 0; i < values.length; i += dimensions) {
    let squared = 0;
    for (let c = 0; c < dimensions; c++) squared += values[i + c] ** 2;
    total += squared / (1 + squared / outlier ** 2);
  }
  return total;
}

/**
 * The state after a step in its k + 16 numbers; the three of the rotation turn it from the left.
 * @param {FitState} state
 * @param {ArrayLike<number>} step
 * @returns {FitState}
 */
export function movedState(state, step) {
  const k = state.z.length;
  return {
    z: state.z.map((value, i) => value + step[i]),
    beta: state.beta.map((value, i) => value + step[k + i]),
    rotation: matrixProduct(rotationOfVector(step[k + 10], step[k + 11], step[k + 12]), state.rotation),
    place: state.place.map((value, i) => value + step[k + 13 + i]),
  };
}

/**
 * The step from one state to another: the inverse of `movedState`.
 * @param {FitState} before
 * @param {FitState} state
 */
export function stepBetween(before, state) {
  const k = state.z.length,
    step = new Float64Array(k + 16);
  state.z.forEach((value, i) => (step[i] = value - before.z[i]));
  state.beta.forEach((value, i) => (step[k + i] = value - before.beta[i]));
  step.set(vectorOfRotation(matrixProduct(state.rotation, transposedMatrix(before.rotation))), k + 10);
  state.place.forEach((value, i) => (step[k + 13 + i] = value - before.place[i]));
  return step;
}

/** @param {ArrayLike<number>} K upper triangular, with a last row of 0, 0, 1 */
export function inverseIntrinsics(K) {
  const [fx, skew, cx, , fy, cy] = Array.from(K);
  return Float64Array.of(1 / fx, -skew / (fx * fy), (skew * cy - cx * fy) / (fx * fy), 0, 1 / fy, -cy / fy, 0, 0, 1);
}

/**
 * Points that are placed at an offset, to pixels.
 * @param {ArrayLike<number>} points
 * @param {ArrayLike<number>} offset
 * @param {ArrayLike<number>} K
 */
export function projected(points, offset, K, nearest = 0) {
  const px = new Float64Array((points.length / 3) * 2);
  for (let i = 0, p = 0; i < px.length; i += 2, p += 3) {
    const x = points[p] + offset[0],
      y = points[p + 1] + offset[1],
      z = Math.max(points[p + 2] + offset[2], nearest);
    px[i] = (K[0] * x + K[1] * y) / z + K[2];
    px[i + 1] = (K[4] * y) / z + K[5];
  }
  return px;
}
