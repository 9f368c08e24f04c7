// The points of a hand without its mesh, and their derivatives, as handlib/fitting/skeleton.py: a point is a mixture of
// few bones' motions, each pair of a point and a bone linear in 1, β and R − I.

import { matrixProduct, rotationOfVector } from "./rotations.js";

const BONES = 16,
  TURNS = 15,
  SHAPES = 11; // SHAPES: 1 and β

/**
 * @typedef {{rest: Float32Array, joints: Float32Array, correctives: Float32Array, share: Float32Array,
 *   point: Uint8Array, bone: Uint8Array}} SkeletonArrays
 */

export class Skeleton {
  /** @param {SkeletonArrays} arrays */
  constructor({ rest, joints, correctives, share, point, bone }) {
    this.rest = Float64Array.from(rest); // pairs × 3 × (1, β)
    this.joints = Float64Array.from(joints); // bones × 3 × (1, β)
    this.share = Float64Array.from(share);
    this.point = point;
    this.bone = bone;
    this.pairs = point.length;
    this.size = Math.max(...point) + 1;
    // Most correctives are zero: of each pair and turn, 3 × 9 numbers if any is not.
    const blocks = [];
    for (let pair = 0; pair < this.pairs; pair++) {
      for (let turn = 0; turn < TURNS; turn++) {
        const row = (/** @type {number} */ c) =>
          correctives.subarray((3 * pair + c) * 9 * TURNS + 9 * turn).subarray(0, 9);
        const values = [...row(0), ...row(1), ...row(2)];
        if (values.some((value) => value !== 0)) blocks.push({ pair, turn, values });
      }
    }
    this.blockPairs = Uint16Array.from(blocks, (block) => block.pair);
    this.blockTurns = Uint8Array.from(blocks, (block) => block.turn);
    this.blocks = Float64Array.from(blocks.flatMap((block) => block.values));
  }

  /**
   * What both the points and their derivatives need: local rotations, shaped joints, bones, posed pairs.
   * @param {ArrayLike<number>} pose 45
   * @param {ArrayLike<number>} beta 10
   */
  posed(pose, beta) {
    const local = new Float64Array(9 * TURNS),
      rest = shaped(this.rest, beta),
      joints = shaped(this.joints, beta);
    for (let j = 0; j < TURNS; j++) local.set(rotationOfVector(pose[3 * j], pose[3 * j + 1], pose[3 * j + 2]), 9 * j);
    const { blockPairs, blockTurns, blocks } = this,
      minusIdentity = local.map((value, n) => value - Number((n % 9) % 4 === 0));
    for (let block = 0, at = 0; block < blockPairs.length; block++) {
      for (let c = 0, turn = 9 * blockTurns[block]; c < 3; c++) {
        let sum = 0;
        for (let n = 0; n < 9; n++, at++) sum += blocks[at] * minusIdentity[turn + n];
        rest[3 * blockPairs[block] + c] += sum;
      }
    }
    // Five chains of three hang from the wrist, which stays.
    const turns = new Float64Array(9 * BONES),
      places = new Float64Array(3 * BONES);
    turns.set([1, 0, 0, 0, 1, 0, 0, 0, 1]);
    places.set(joints.subarray(0, 3));
    for (let j = 1; j < BONES; j++) {
      const parent = parentOf(j),
        r = turns.subarray(9 * parent, 9 * parent + 9);
      const arm = [0, 1, 2].map((c) => joints[3 * j + c] - joints[3 * parent + c]);
      for (let c = 0; c < 3; c++)
        places[3 * j + c] = r[3 * c] * arm[0] + r[3 * c + 1] * arm[1] + r[3 * c + 2] * arm[2] + places[3 * parent + c];
      turns.set(matrixProduct(r, local.subarray(9 * j - 9, 9 * j)), 9 * j);
    }
    const parts = new Float64Array(3 * this.pairs);
    for (let p = 0; p < this.pairs; p++) {
      const b = this.bone[p],
        share = this.share[p];
      // R x + share (t − R j)
      const x = rest[3 * p] - share * joints[3 * b],
        y = rest[3 * p + 1] - share * joints[3 * b + 1],
        z = rest[3 * p + 2] - share * joints[3 * b + 2];
      for (let c = 0; c < 3; c++) {
        const r = 9 * b + 3 * c;
        parts[3 * p + c] = turns[r] * x + turns[r + 1] * y + turns[r + 2] * z + share * places[3 * b + c];
      }
    }
    return { local, turns, places, parts };
  }

  /**
   * @param {ArrayLike<number>} pose
   * @param {ArrayLike<number>} beta
   * @returns {Float64Array} size × 3, meters
   */
  points(pose, beta) {
    return this.gathered(this.posed(pose, beta).parts);
  }

  /** @param {Float64Array} parts */
  gathered(parts) {
    const points = new Float64Array(3 * this.size);
    for (let p = 0; p < this.pairs; p++) for (let c = 0; c < 3; c++) points[3 * this.point[p] + c] += parts[3 * p + c];
    return points;
  }

  /**
   * Points, and their derivatives by pose and shape: size × 3 × 55.
   * @param {ArrayLike<number>} pose
   * @param {ArrayLike<number>} beta
   */
  withJacobian(pose, beta) {
    const { local, turns, places, parts } = this.posed(pose, beta),
      wide = 55;
    const jacobian = new Float64Array(this.size * 3 * wide);
    const left = Array.from({ length: TURNS }, (_, m) => leftJacobian(pose[3 * m], pose[3 * m + 1], pose[3 * m + 2]));
    // Columns are what a small turn dθ of joint m turns all that it carries by.
    const carrying = left.map((J, m) => matrixProduct(turns.subarray(9 * parentOf(m + 1), 9 * parentOf(m + 1) + 9), J));
    for (let p = 0; p < this.pairs; p++) {
      const b = this.bone[p],
        share = this.share[p],
        row = 3 * wide * this.point[p];
      for (let m = b; m > 0; m = parentOf(m)) {
        const x = parts[3 * p] - share * places[3 * m],
          y = parts[3 * p + 1] - share * places[3 * m + 1],
          z = parts[3 * p + 2] - share * places[3 * m + 2];
        const w = carrying[m - 1];
        for (let d = 0, at = row + 3 * (m - 1); d < 3; d++, at++) {
          jacobian[at] += w[3 + d] * z - w[6 + d] * y; // ω × x
          jacobian[at + wide] += w[6 + d] * x - w[d] * z;
          jacobian[at + 2 * wide] += w[d] * y - w[3 + d] * x;
        }
      }
      this.byShape(p, turns, row, wide, jacobian);
    }
    this.byCorrectives(local, left, turns, wide, jacobian);
    return { points: this.gathered(parts), jacobian };
  }

  /**
   * Adds the derivative of a pair by β: R_b (S_p − share S_j) + share dt_b.
   * @param {number} p
   * @param {Float64Array} turns
   * @param {number} row
   * @param {number} wide
   * @param {Float64Array} jacobian
   */
  byShape(p, turns, row, wide, jacobian) {
    const { rest, joints } = this,
      b = this.bone[p],
      share = this.share[p];
    for (let k = 1; k < SHAPES; k++) {
      let x = rest[33 * p + k] - share * joints[33 * b + k],
        y = rest[33 * p + 11 + k] - share * joints[33 * b + 11 + k];
      let z = rest[33 * p + 22 + k] - share * joints[33 * b + 22 + k];
      for (let j = b; ; j = parentOf(j)) {
        // Up the chain: x in the frame of j, about its joint.
        const r = 9 * j,
          u = turns[r] * x + turns[r + 1] * y + turns[r + 2] * z;
        const v = turns[r + 3] * x + turns[r + 4] * y + turns[r + 5] * z,
          w = turns[r + 6] * x + turns[r + 7] * y + turns[r + 8] * z;
        const at = row + 44 + k;
        jacobian[at] += u;
        jacobian[at + wide] += v;
        jacobian[at + 2 * wide] += w;
        if (j === 0) break;
        const parent = parentOf(j);
        x = share * (joints[33 * j + k] - joints[33 * parent + k]);
        y = share * (joints[33 * j + 11 + k] - joints[33 * parent + 11 + k]);
        z = share * (joints[33 * j + 22 + k] - joints[33 * parent + 22 + k]);
      }
      for (let c = 0; c < 3; c++) jacobian[row + c * wide + 44 + k] += share * joints[11 * c + k];
    }
  }

  /**
   * Adds what follows from the correctives, which follow R_m − I, whose derivative is [J_l dθ]× R_m.
   * @param {Float64Array} local
   * @param {Float64Array[]} left
   * @param {Float64Array} turns
   * @param {number} wide
   * @param {Float64Array} jacobian
   */
  byCorrectives(local, left, turns, wide, jacobian) {
    const change = new Float64Array(27 * TURNS); // joint, dθ, 3 × 3
    for (let m = 0; m < TURNS; m++) {
      for (let d = 0; d < 3; d++) {
        const x = left[m][d],
          y = left[m][3 + d],
          z = left[m][6 + d];
        change.set(matrixProduct([0, -z, y, z, 0, -x, -y, x, 0], local.subarray(9 * m, 9 * m + 9)), 27 * m + 9 * d);
      }
    }
    const { blockPairs, blockTurns, blocks } = this;
    for (let block = 0, first = 0; block < blockPairs.length; block++, first += 27) {
      const pair = blockPairs[block],
        turn = blockTurns[block];
      const r = 9 * this.bone[pair],
        row = 3 * wide * this.point[pair] + 3 * turn;
      for (let d = 0; d < 3; d++) {
        let x = 0,
          y = 0,
          z = 0;
        for (let n = first, at = 27 * turn + 9 * d; n < first + 9; n++, at++) {
          x += blocks[n] * change[at];
          y += blocks[n + 9] * change[at];
          z += blocks[n + 18] * change[at];
        }
        for (let c = 0; c < 3; c++)
          jacobian[row + c * wide + d] += turns[r + 3 * c] * x + turns[r + 3 * c + 1] * y + turns[r + 3 * c + 2] * z;
      }
    }
  }
}

/** MANO's tree: five chains of three. @param {number} bone */
function parentOf(bone) {
  return bone % 3 === 1 ? 0 : bone - 1;
}

/**
 * Rows of 1 and ten shapes, at β.
 * @param {Float64Array} rows
 * @param {ArrayLike<number>} beta
 */
function shaped(rows, beta) {
  const values = new Float64Array(rows.length / SHAPES);
  for (let i = 0, at = 0; i < values.length; i++, at += SHAPES) {
    let sum = rows[at];
    for (let k = 1; k < SHAPES; k++) sum += rows[at + k] * beta[k - 1];
    values[i] = sum;
  }
  return values;
}

/** J_l of SO(3): exp(θ + dθ) ≈ exp(J_l(θ) dθ) exp(θ). @type {(x: number, y: number, z: number) => Float64Array} */
function leftJacobian(x, y, z) {
  const squared = Math.max(x * x + y * y + z * z, 1e-8),
    angle = Math.sqrt(squared); // below, the limits at 0 hold to 1e-9
  const a = (1 - Math.cos(angle)) / squared,
    b = (angle - Math.sin(angle)) / (squared * angle);
  // prettier-ignore
  return Float64Array.of(1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y,
                         b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x,
                         b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y));
}
