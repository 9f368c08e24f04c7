// From evidence to a hand: the start, the descent and what its end stands for; as handlib/fitting/lift.py, starts.py,
// fit.py and describe.py, for one hand.

import { extent } from "./crops.js";
import { arraysOf } from "./pack.js";
import { Anatomy } from "./anatomy.js";
import { POINTS, Posterior, inverseIntrinsics, projected } from "./posterior.js";
import { nearestRotation, nearestTrace, quaternionOfRotation, rotationOfVector, turnedPoints } from "./rotations.js";
import { Skeleton } from "./skeleton.js";
import { descend } from "./solver.js";

/**
 * @typedef {import("./posterior.js").FitState} FitState
 * @typedef {import("./posterior.js").Noise} Noise
 * @typedef {{row: Uint8Array, vertex: Uint16Array, share: Float32Array}} SparseRegressor
 *
 * @typedef {object} Guess a hand in space
 * @property {Float64Array} points 63
 * @property {ArrayLike<number> | null} beta shape
 * @property {number} blur of the points in the image: their noise over that of a hand that is surely there
 *
 * @typedef {object} Lifted
 * @property {Float64Array} h 63
 * @property {Float64Array} vertices 2334, in the camera
 * @property {FitState} state
 * @property {number} energy
 * @property {Float64Array} residual 21, of the points in the image, standard deviations
 */

export class Lifter {
  /**
   * @param {import("./pack.js").Pack} pack
   * @param {import("./hand_model.js").HandModel} hand
   */
  constructor(pack, hand) {
    const arrays = arraysOf(pack, "fit."),
      { constants } = pack.live;
    this.hand = hand;
    this.constants = constants;
    this.anatomy = new Anatomy(new Skeleton(/** @type {any} */ (arrays)), arrays);
    this.weight = Float64Array.from(arrays.weight);
    const [image, space] = ["image", "space"].map((name) => /** @type {any} */ (arraysOf(pack, `fit.${name}.`)));
    /** @type {SparseRegressor} */
    this.image = image;
    /** @type {SparseRegressor} */
    this.space = space;
    this.samples = this.sampled(arrays.samples);
  }

  /**
   * Poses that a start may have, and their points relative to the root.
   * @param {Float32Array} poses
   */
  sampled(poses) {
    const flat = new Float64Array(10),
      root = 3 * this.constants.posterior.MIDDLE_MCP;
    return Array.from({ length: poses.length / 45 }, (_, n) => {
      const z = this.anatomy.whitened(poses.subarray(45 * n, 45 * n + 45));
      const all = this.anatomy.skeleton.points(this.anatomy.pose(z), flat),
        points = all.map((value, i) => value - all[root + (i % 3)]);
      const space = centered(points.subarray(-3 * POINTS));
      return { z, points, space };
    });
  }

  /**
   * What the evidence and E3D's answer to it say of the hand in space, in the frame of the turned crop.
   * @param {import("./detectors.js").Evidence} evidence
   * @param {ArrayLike<number>} vertices E3D's, meters
   * @param {ArrayLike<number>} beta E3D's
   * @returns {Guess}
   */
  guess(evidence, vertices, beta) {
    const { DEPTH, DOUBT, BLUR, BLURRED } = this.constants.lift;
    const whole = centered(mixtures(this.space, vertices));
    const metric = sized(centered(evidence.points_3d), 1);
    const deep = sized(centered(evidence.points.map((value, i) => (i % 3 === 2 ? DEPTH * value : value))), 1);
    const mean = metric.map((value, i) => value + deep[i]);
    const own = sized(mean, sizeOf(whole));
    const absence = 1 - evidence.presence;
    const share = Math.min(1 / 3 + ((2 / 3) * absence) / DOUBT, 1);
    const points = own.map((value, i) => (1 - share) * value + share * whole[i]);
    return { points, beta, blur: 1 + BLUR * Math.min(absence / BLURRED, 1) };
  }

  /**
   * A right hand.
   * @param {Float64Array} points_px 42
   * @param {Guess} guess along the image's axes as seen through a crop
   * @param {ArrayLike<number>} K
   * @param {{iterations: number, before?: FitState | null, noise?: Noise, space?: boolean,
   *   onStep?: (state: FitState, energy: number, posterior: Posterior) => void}} options space: whether the guess is a
   *   term of the energy
   * @returns {Lifted}
   */
  fit(points_px, guess, K, { iterations, before = null, noise = this.constants.lift.NOISE, space = true, onStep }) {
    const middle = [0, 1].map(
      (c) => points_px.reduce((sum, value, i) => (i % 2 === c ? sum + value : sum), 0) / POINTS,
    );
    const points_3d = turnedPoints(rotationToRay(middle[0], middle[1], K), guess.points);
    const weight = before ? this.weight : this.weight.map((value) => value / guess.blur ** 2);
    const seen = { points_px, weight, K, points_3d: space ? points_3d : null, before, beta: guess.beta };
    const posterior = new Posterior(this.anatomy, seen, noise, this.constants.posterior);
    /** @type {(state: FitState, energy: number) => void} */
    const report = (state, energy) => onStep?.(state, energy, posterior);
    let state = before ?? this.start(posterior, points_3d),
      energy = posterior.energy(state);
    report(state, energy);
    // A fit afresh has two descents, as Python's, which leaves starts behind in between.
    const { FIRST } = this.constants.fit;
    for (const steps of before ? [iterations] : [Math.min(FIRST, iterations), iterations - FIRST]) {
      if (steps > 0) ({ state, energy } = descend(posterior, state, steps, report));
    }
    const { image } = posterior.residuals(state);
    const residual = Float64Array.from({ length: POINTS }, (_, j) => Math.hypot(image[2 * j], image[2 * j + 1]));
    return { ...this.described(posterior, state), state, energy, residual };
  }

  /**
   * The pose that lies best on the points in space when it is turned onto them, placed by the points in the image.
   * @param {Posterior} posterior
   * @param {Float64Array} points_3d
   * @returns {FitState}
   */
  start(posterior, points_3d) {
    const { weight, points_px } = posterior.seen,
      share = Float64Array.from(weight, (value) => value / posterior.total);
    const target = Float64Array.from(points_3d),
      mean = new Float64Array(3);
    target.forEach((value, i) => (mean[i % 3] += share[Math.floor(i / 3)] * value));
    target.forEach((_, i) => (target[i] = share[Math.floor(i / 3)] * (target[i] - mean[i % 3])));
    let best = this.samples[0],
      least = Infinity;
    for (const sample of this.samples) {
      const { space } = sample,
        size = space.reduce((sum, value, i) => sum + share[Math.floor(i / 3)] * value * value, 0);
      const error = size - 2 * nearestTrace(crossCovariance(target, space));
      if (error < least) [best, least] = [sample, error];
    }
    const rotation = nearestRotation(crossCovariance(target, best.space));
    const turned = turnedPoints(rotation, best.points.subarray(0, 3 * POINTS)),
      { scale: found, own, other } = similarity(turned, points_px, share),
      scale = Math.max(found, 1); // pixels per meter
    const place = Float64Array.of(other[0] - scale * own[0], other[1] - scale * own[1], Math.log(scale));
    return { z: Float64Array.from(best.z), beta: new Float64Array(10), rotation, place };
  }

  /**
   * The mesh in the camera, and h, whose camera is the scaled orthographic one that matches the projected joints best.
   * @param {Posterior} posterior
   * @param {FitState} state
   */
  described(posterior, state) {
    const { K } = posterior.seen,
      { MIDDLE_MCP } = this.constants.posterior,
      { SCALE_UNIT } = this.constants.predict;
    const pose = this.anatomy.pose(state.z),
      skeleton = this.anatomy.skeleton.points(pose, state.beta);
    const origin = skeleton.subarray(3 * MIDDLE_MCP, 3 * MIDDLE_MCP + 3);
    const own = this.hand.vertices(pose, state.beta),
      root = posterior.root(state.place);
    const turned = turnedPoints(state.rotation, own),
      shift = turnedPoints(state.rotation, origin);
    const joints = this.hand.regress(turned),
      box = posterior.box;
    const relative = joints.map((value, i) => value - shift[i % 3]),
      px = projected(relative, root, K);
    const crop = px.map((value, i) => ((value - box[i % 2]) / box[2]) * 2 - 1);
    const { scale, own: from, other: to } = similarity(joints, crop, new Float64Array(POINTS).fill(1 / POINTS)),
      h = new Float64Array(63);
    h.set(pose);
    h.set(state.beta, 45);
    const toOwnAxes = state.rotation.map((value, i) => (i < 3 ? value : -value));
    h.set(quaternionOfRotation(toOwnAxes), 55);
    h[59] = scale / SCALE_UNIT;
    h[60] = to[0] - scale * from[0];
    h[61] = to[1] - scale * from[1];
    h[62] = -scale * joints[3 * MIDDLE_MCP + 2];
    return { h, vertices: turned.map((value, i) => value - shift[i % 3] + root[i % 3]) };
  }

  /**
   * How far a mesh's landmarks are from the network's, in standard deviations: of a hand that is not refined.
   * @param {ArrayLike<number>} vertices in the camera
   * @param {Float64Array} points_px
   * @param {ArrayLike<number>} K
   */
  unrefinedResidual(vertices, points_px, K) {
    const { CROP_FACTOR } = this.constants.posterior,
      sigma = this.constants.lift.NOISE.points * CROP_FACTOR * extent(points_px).side;
    const px = mixtures(this.image, projected(vertices, [0, 0, 0], K), 2);
    return Float64Array.from(
      { length: POINTS },
      (_, j) => Math.hypot(px[2 * j] - points_px[2 * j], px[2 * j + 1] - points_px[2 * j + 1]) / sigma,
    );
  }
}

/**
 * The shortest rotation of the optical axis to the ray through a pixel.
 * @param {number} x
 * @param {number} y
 * @param {ArrayLike<number>} K
 */
export function rotationToRay(x, y, K) {
  const ray = turnedPoints(inverseIntrinsics(K), [x, y, 1]),
    length = Math.hypot(ray[0], ray[1], ray[2]);
  const [across, down, ahead] = [ray[0] / length, ray[1] / length, ray[2] / length],
    sine = Math.max(Math.hypot(across, down), 1e-9);
  const scale = Math.atan2(sine, ahead) / sine;
  return rotationOfVector(-down * scale, across * scale, 0);
}

/**
 * The rotation and translation that take points onto others, least squares.
 * @param {ArrayLike<number>} from
 * @param {ArrayLike<number>} to
 */
export function rigidMotion(from, to) {
  const means = [from, to].map((points) =>
    [0, 1, 2].map((c) => {
      let sum = 0;
      for (let i = c; i < points.length; i += 3) sum += points[i];
      return (3 * sum) / points.length;
    }),
  );
  const [own, other] = [from, to].map((points, n) => Float64Array.from(points, (value, i) => value - means[n][i % 3]));
  const rotation = nearestRotation(crossCovariance(other, own)),
    moved = turnedPoints(rotation, means[0]);
  return { rotation, translation: moved.map((value, c) => means[1][c] - value) };
}

/**
 * The similarity of the plane, without a turn, that takes x and y of points to others: its scale, and the means.
 * @param {ArrayLike<number>} points of three numbers
 * @param {ArrayLike<number>} others of two
 * @param {ArrayLike<number>} share what each pair counts; their sum is 1
 */
function similarity(points, others, share) {
  const own = [0, 0],
    other = [0, 0];
  let product = 0,
    squared = 0;
  for (let c = 0; c < 2; c++) {
    for (let j = 0; j < POINTS; j++) {
      own[c] += share[j] * points[3 * j + c];
      other[c] += share[j] * others[2 * j + c];
    }
    for (let j = 0; j < POINTS; j++) {
      const x = points[3 * j + c] - own[c];
      product += share[j] * x * (others[2 * j + c] - other[c]);
      squared += share[j] * x * x;
    }
  }
  return { scale: product / Math.max(squared, 1e-12), own, other };
}

/**
 * Σ y xᵀ of 3D points.
 * @param {Float64Array} y
 * @param {Float64Array} x
 */
function crossCovariance(y, x) {
  let [a, b, c, d, e, f, g, h, k] = [0, 0, 0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < x.length; i += 3) {
    const u = x[i],
      v = x[i + 1],
      w = x[i + 2];
    a += y[i] * u;
    b += y[i] * v;
    c += y[i] * w;
    d += y[i + 1] * u;
    e += y[i + 1] * v;
    f += y[i + 1] * w;
    g += y[i + 2] * u;
    h += y[i + 2] * v;
    k += y[i + 2] * w;
  }
  return [a, b, c, d, e, f, g, h, k];
}

/**
 * 3D points less their mean.
 * @param {Float64Array} points
 */
function centered(points) {
  const mean = [0, 0, 0];
  points.forEach((value, i) => (mean[i % 3] += (3 * value) / points.length));
  return points.map((value, i) => value - mean[i % 3]);
}

/** @param {Float64Array} points */
function sizeOf(points) {
  return Math.max(Math.sqrt(points.reduce((sum, value) => sum + value * value, 0)), 1e-9);
}

/**
 * Points scaled to a size.
 * @param {Float64Array} points
 * @param {number} size
 */
function sized(points, size) {
  const scale = size / sizeOf(points);
  return points.map((value) => value * scale);
}

/**
 * 21 mixtures of points.
 * @param {SparseRegressor} regressor
 * @param {ArrayLike<number>} points
 */
function mixtures({ row, vertex, share }, points, dimensions = 3) {
  const mixed = new Float64Array(POINTS * dimensions);
  for (let n = 0; n < row.length; n++) {
    for (let c = 0; c < dimensions; c++)
      mixed[row[n] * dimensions + c] += share[n] * points[vertex[n] * dimensions + c];
  }
  return mixed;
}
