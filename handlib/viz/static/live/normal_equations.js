// Jᵀ J and Jᵀ r of a posterior's residuals, whose derivatives are written out; as `Posterior.linearized` of
// handlib/fitting/posterior.py.

import { POINTS, SHAPES, projected } from "./posterior.js";

/**
 * @typedef {import("./posterior.js").Posterior} Posterior
 * @typedef {import("./posterior.js").FitState} FitState
 */

/**
 * Jᵀ J and Jᵀ r of all residuals by a step; ρ enters both as the weight √ρ'. As in Python, the derivative of the turn
 * since the frame before is that at none.
 * @param {Posterior} posterior
 * @param {FitState} state
 */
export function normalEquations(posterior, state) {
  const { anatomy, seen, noise, size } = posterior,
    { k } = anatomy,
    hand = k + SHAPES;
  const { points: own, jacobian } = anatomy.skeleton.withJacobian(anatomy.pose(state.z), state.beta);
  const byHand = turnedJacobian(posterior, jacobian, state.rotation),
    points = posterior.placed(own, state);
  const { image, space, known } = posterior.residuals(state, points);
  const count = (space ? 5 : 2) * POINTS,
    rows = new Float64Array(count * size),
    values = new Float64Array(count);
  const { byPoint, byPlace } = projectionJacobian(posterior, points, state.place);
  for (let j = 0; j < POINTS; j++) {
    const rho = 1 / (1 + (image[2 * j] ** 2 + image[2 * j + 1] ** 2) / noise.outlier ** 2);
    const scale = (rho * Math.sqrt(seen.weight[j])) / posterior.sigma;
    for (let a = 0; a < 2; a++) {
      const p = 6 * j + 3 * a,
        row = rows.subarray((2 * j + a) * size, (2 * j + a + 1) * size);
      pointRow(posterior, byHand, points, j, byPoint[p], byPoint[p + 1], byPoint[p + 2], row);
      for (let c = 0; c < 3; c++) row[hand + 3 + c] = byPlace[p + c];
      for (let i = 0; i < size; i++) row[i] *= scale;
      values[2 * j + a] = image[2 * j + a] * rho;
    }
  }
  if (space) {
    const first = points.length / 3 - POINTS,
      own = rows.subarray(2 * POINTS * size);
    for (let i = 0; i < 3 * POINTS; i++) {
      const c = i % 3,
        row = own.subarray(i * size, (i + 1) * size);
      pointRow(posterior, byHand, points, first + (i - c) / 3, Number(c === 0), Number(c === 1), Number(c === 2), row);
    } // they do not tell the place
    posterior.center(own, 3 * size);
    for (let i = 0; i < 3 * POINTS; i++) {
      const j = Math.floor(i / 3),
        squared = space[3 * j] ** 2 + space[3 * j + 1] ** 2 + space[3 * j + 2] ** 2;
      const rho = 1 / (1 + squared / noise.outlier_3d ** 2),
        scale = (rho * Math.sqrt(seen.weight[j])) / noise.points_3d[i % 3];
      for (let n = i * size; n < (i + 1) * size; n++) own[n] *= scale;
      values[2 * POINTS + i] = space[i] * rho;
    }
  }
  const equations = squaredRows(rows, values, size);
  addKnown(posterior, equations.hessian, equations.slope, known);
  return equations;
}

/**
 * The skeleton's derivatives by z and β along camera axes, relative to the root: points × 3 × (k + 10).
 * @param {Posterior} posterior
 * @param {Float64Array} jacobian points × 3 × 55
 * @param {ArrayLike<number>} rotation
 */
function turnedJacobian(posterior, jacobian, rotation) {
  const { k, basis } = posterior.anatomy,
    wide = k + SHAPES,
    count = jacobian.length / 165;
  const byZ = new Float64Array(count * 3 * wide);
  for (let row = 0; row < 3 * count; row++) {
    const from = 55 * row,
      to = wide * row;
    for (let n = 0; n < 45; n++) {
      const value = jacobian[from + n];
      if (value) for (let i = 0, b = n * k; i < k; i++, b++) byZ[to + i] += value * basis[b]; // from few joints
    }
    for (let i = 0; i < SHAPES; i++) byZ[to + k + i] = jacobian[from + 45 + i];
  }
  const root = Float64Array.from(
    byZ.subarray(3 * wide * posterior.constants.MIDDLE_MCP, 3 * wide * (posterior.constants.MIDDLE_MCP + 1)),
  );
  for (let point = 0; point < count; point++) {
    const at = 3 * wide * point;
    for (let i = 0; i < wide; i++) {
      const x = byZ[at + i] - root[i],
        y = byZ[at + wide + i] - root[wide + i],
        z = byZ[at + 2 * wide + i] - root[2 * wide + i];
      for (let c = 0; c < 3; c++)
        byZ[at + c * wide + i] = rotation[3 * c] * x + rotation[3 * c + 1] * y + rotation[3 * c + 2] * z;
    }
  }
  return byZ;
}

/**
 * The derivative of u · P by a step, but for its place. A turn ω moves a point by ω × P.
 * @param {Posterior} posterior
 * @param {Float64Array} byHand
 * @param {Float64Array} points
 * @param {number} j
 * @param {number} x of u
 * @param {number} y
 * @param {number} z
 * @param {Float64Array} row
 */
function pointRow(posterior, byHand, points, j, x, y, z, row) {
  const wide = posterior.anatomy.k + SHAPES,
    at = 3 * wide * j,
    [px, py, pz] = points.subarray(3 * j, 3 * j + 3);
  for (let i = 0; i < wide; i++)
    row[i] = x * byHand[at + i] + y * byHand[at + wide + i] + z * byHand[at + 2 * wide + i];
  row[wide] = py * z - pz * y; // u · (ω × P) = ω · (P × u)
  row[wide + 1] = pz * x - px * z;
  row[wide + 2] = px * y - py * x;
}

/**
 * Derivatives of the projection: 21 × 2 × 3 by the points, and by the place.
 * @param {Posterior} posterior
 * @param {Float64Array} points
 * @param {ArrayLike<number>} place
 */
function projectionJacobian(posterior, points, place) {
  const { K } = posterior.seen,
    { inverseK } = posterior,
    root = posterior.root(place),
    byPoint = new Float64Array(126),
    byPlace = new Float64Array(126);
  const px = projected(points.subarray(0, 3 * POINTS), root, K, posterior.constants.NEAREST);
  for (let j = 0; j < POINTS; j++) {
    const depth = Math.max(points[3 * j + 2] + root[2], posterior.constants.NEAREST);
    for (let a = 0; a < 2; a++) {
      const p = 6 * j + 3 * a,
        d = byPoint.subarray(p, p + 3);
      for (let c = 0; c < 3; c++) d[c] = (K[3 * a + c] - px[2 * j + a] * K[6 + c]) / depth;
      // A pixel more moves the root by z·K⁻¹, a larger scale draws it nearer.
      for (let c = 0; c < 2; c++)
        byPlace[p + c] = root[2] * (d[0] * inverseK[c] + d[1] * inverseK[3 + c] + d[2] * inverseK[6 + c]);
      byPlace[p + 2] = -(d[0] * root[0] + d[1] * root[1] + d[2] * root[2]);
    }
  }
  return { byPoint, byPlace };
}

/**
 * Adds the prior, the limits, the size and the frame before.
 * @param {Posterior} posterior
 * @param {Float64Array} hessian
 * @param {Float64Array} slope
 * @param {Float64Array} known
 */
function addKnown(posterior, hessian, slope, known) {
  const { anatomy, constants, size, softness } = posterior,
    { k } = anatomy,
    spread = constants.SIZE_SPREAD;
  for (let i = 0; i < k + 10; i++) {
    const deviation = i < k ? 1 : posterior.shape;
    hessian[i * size + i] += 1 / deviation ** 2;
    slope[i] += known[i] / deviation;
  }
  const row = new Float64Array(size);
  for (let n = 0; n < 45; n++) {
    const value = known[k + 10 + n];
    if (!value) continue;
    for (let i = 0; i < k; i++) row[i] = anatomy.angleByZ[n * k + i] / softness;
    addRow(hessian, slope, row, value, size);
  }
  hessian[size * size - 1] += 1 / spread ** 2;
  slope[size - 1] += known[k + 55] / spread;
  if (!posterior.seen.before) return;
  for (let i = 0; i < size; i++) {
    hessian[i * size + i] += 1 / posterior.steps[i] ** 2;
    slope[i] += known[k + 56 + i] / posterior.steps[i];
  }
}

/**
 * Jᵀ J, its lower half alone, and Jᵀ r.
 * @param {Float64Array} rows of J
 * @param {Float64Array} values r
 * @param {number} size
 */
function squaredRows(rows, values, size) {
  const count = values.length,
    hessian = new Float64Array(size * size),
    slope = new Float64Array(size);
  const columns = new Float64Array(rows.length);
  for (let i = 0, at = 0; i < count; i++) for (let n = 0; n < size; n++, at++) columns[n * count + i] = rows[at];
  for (let i = 0; i < size; i++) {
    const a = i * count;
    for (let k = 0; k < count; k++) slope[i] += columns[a + k] * values[k];
    for (let j = 0; j <= i; j++) {
      const b = j * count;
      let even = 0,
        odd = 0,
        k = 0; // two sums, which do not wait for each other
      for (; k + 1 < count; k += 2) {
        even += columns[a + k] * columns[b + k];
        odd += columns[a + k + 1] * columns[b + k + 1];
      }
      if (k < count) even += columns[a + k] * columns[b + k];
      hessian[i * size + j] = even + odd;
    }
  }
  return { hessian, slope };
}

/**
 * Adds a residual and its derivatives; the lower half of the Hessian alone.
 * @param {Float64Array} hessian
 * @param {Float64Array} slope
 * @param {Float64Array} row
 * @param {number} value
 * @param {number} size
 */
function addRow(hessian, slope, row, value, size) {
  for (let i = 0; i < size; i++) {
    const r = row[i];
    if (r === 0) continue;
    slope[i] += r * value;
    for (let j = 0, at = i * size; j <= i; j++, at++) hessian[at] += r * row[j];
  }
}
