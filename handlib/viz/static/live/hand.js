// The hand model in the page: equations of handlib/hand/model.py, one vertex at a time.

import { rotationOfVector } from "./rotations.js";

/** @typedef {ArrayLike<number>} NumberList */

export class Hand {
  /** @param {Record<string, any>} arrays as `hand_arrays` of handlib/viz/widgets.py names them; `axes`, 15 × 3 × 3 */
  constructor(arrays) {
    this.parents = /** @type {Int16Array} */ (arrays.parents);
    this.template = /** @type {Float32Array} */ (arrays.template);
    this.faces = /** @type {Uint16Array} */ (arrays.faces);
    this.boundary = /** @type {Uint16Array} */ (arrays.boundary);
    this.shapeScale = /** @type {number} */ (arrays.shapeScale);
    this.shapes = /** @type {Int16Array} */ (arrays.shapes);
    this.correctiveScale = /** @type {number} */ (arrays.correctiveScale);
    this.correctives = /** @type {Int16Array} */ (arrays.correctives);
    this.correctiveCounts = /** @type {Uint16Array} */ (arrays.correctiveCounts);
    this.correctiveVertices = /** @type {Uint16Array} */ (arrays.correctiveVertices);
    this.jointTemplate = /** @type {Float32Array} */ (arrays.jointTemplate);
    this.jointShapes = /** @type {Float32Array} */ (arrays.jointShapes);
    this.weights = /** @type {Float32Array} */ (arrays.weights);
    this.weightCounts = /** @type {Uint8Array} */ (arrays.weightCounts);
    this.weightBones = /** @type {Uint8Array} */ (arrays.weightBones);
    this.regressor = /** @type {Float32Array} */ (arrays.regressor);
    this.regressorCounts = /** @type {Uint16Array} */ (arrays.regressorCounts);
    this.regressorVertices = /** @type {Uint16Array} */ (arrays.regressorVertices);
    this.axes = /** @type {Float32Array} */ (arrays.axes);
    this.limits = /** @type {Float32Array} */ (arrays.limits); // the explorer's, degrees
    this.size = this.template.length / 3;
    this.joints = this.parents.length;
  }

  /** Posed vertices. @type {(pose: NumberList, shape: NumberList, correctives?: boolean) => Float32Array} */
  vertices(pose, shape, correctives = true) {
    const local = this.rotations(pose);
    const rest = this.rest(shape, local, correctives);
    return this.skin(rest, this.bones(local, this.restJoints(shape)));
  }

  /** Of the joints but the wrist: 15 matrices, rows first. @type {(pose: NumberList) => Float64Array} */
  rotations(pose) {
    const matrices = new Float64Array(9 * (this.joints - 1));
    for (let j = 0; j < this.joints - 1; j++)
      matrices.set(rotationOfVector(pose[3 * j], pose[3 * j + 1], pose[3 * j + 2]), 9 * j);
    return matrices;
  }

  /**
   * T̄ + Σ β_k S_k + Σ (R − I)_n P_n. Only the vertices near a joint have correctives for it: `correctiveCounts` says
   * how many each joint has, `correctiveVertices` which, and 3 × 9 numbers follow for each.
   * @type {(shape: NumberList, local: Float64Array, correctives: boolean) => Float64Array}
   */
  rest(shape, local, correctives) {
    const rest = Float64Array.from(this.template);
    for (let k = 0; k < shape.length; k++) {
      const scaled = shape[k] * this.shapeScale,
        row = k * rest.length;
      if (scaled) for (let n = 0; n < rest.length; n++) rest[n] += scaled * this.shapes[row + n];
    }
    if (!correctives) return rest;
    let block = 0;
    for (let j = 0; j < this.joints - 1; j++) {
      const turn = local.slice(9 * j, 9 * j + 9).map((r, n) => this.correctiveScale * (r - Number(n % 4 === 0)));
      for (const end = block + this.correctiveCounts[j]; block < end; block++) {
        for (let c = 0; c < 3; c++) {
          let offset = 0;
          for (let n = 0; n < 9; n++) offset += turn[n] * this.correctives[27 * block + 9 * c + n];
          rest[3 * this.correctiveVertices[block] + c] += offset;
        }
      }
    }
    return rest;
  }

  /** @type {(shape: NumberList) => Float64Array} */
  restJoints(shape) {
    return Float64Array.from(this.jointTemplate, (sum, n) => {
      for (let k = 0; k < shape.length; k++) sum += shape[k] * this.jointShapes[k * this.jointTemplate.length + n];
      return sum;
    });
  }

  /**
   * G_j = G_parent [R_j | c_j − R_j c_j], rows of 3 × 4: the motion of each bone, from rest to posed.
   * @type {(local: Float64Array, at: Float64Array) => Float64Array}
   */
  bones(local, at) {
    const bones = new Float64Array(12 * this.joints);
    bones.set([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]); // the wrist stays
    const own = new Float64Array(12);
    for (let j = 1; j < this.joints; j++) {
      for (let r = 0; r < 3; r++) {
        own[4 * r + 3] = at[3 * j + r];
        for (let c = 0; c < 3; c++) {
          own[4 * r + c] = local[9 * (j - 1) + 3 * r + c];
          own[4 * r + 3] -= own[4 * r + c] * at[3 * j + c];
        }
      }
      const parent = 12 * this.parents[j];
      for (let r = 0; r < 3; r++) {
        for (let c = 0; c < 4; c++) {
          let sum = c === 3 ? bones[parent + 4 * r + 3] : 0;
          for (let k = 0; k < 3; k++) sum += bones[parent + 4 * r + k] * own[4 * k + c];
          bones[12 * j + 4 * r + c] = sum;
        }
      }
    }
    return bones;
  }

  /**
   * v' = (Σ w_j G_j) v. A vertex has few weights: `weightCounts` of them, for the bones `weightBones`.
   * @type {(rest: Float64Array, bones: Float64Array) => Float32Array}
   */
  skin(rest, bones) {
    const posed = new Float32Array(rest.length);
    const map = new Float64Array(12);
    let entry = 0;
    for (let v = 0; v < this.size; v++) {
      map.fill(0);
      for (const end = entry + this.weightCounts[v]; entry < end; entry++) {
        const bone = 12 * this.weightBones[entry];
        for (let n = 0; n < 12; n++) map[n] += this.weights[entry] * bones[bone + n];
      }
      for (let r = 0, n = 0; r < 3; r++, n += 4) {
        posed[3 * v + r] =
          map[n] * rest[3 * v] + map[n + 1] * rest[3 * v + 1] + map[n + 2] * rest[3 * v + 2] + map[n + 3];
      }
    }
    return posed;
  }

  /**
   * Reg(m): 21 fixed mixtures of vertices.
   * @type {(vertices: NumberList) => Float32Array}
   */
  regress(vertices) {
    const joints = new Float32Array(3 * this.regressorCounts.length);
    let entry = 0;
    this.regressorCounts.forEach((count, j) => {
      for (const end = entry + count; entry < end; entry++) {
        const v = 3 * this.regressorVertices[entry];
        for (let c = 0; c < 3; c++) joints[3 * j + c] += this.regressor[entry] * vertices[v + c];
      }
    });
    return joints;
  }

  /**
   * Cubic metres under the surface, the wrist closed by a fan about its middle; divergence theorem.
   * @type {(vertices: Float32Array) => number}
   */
  volume(vertices) {
    const middle = [0, 1, 2].map((c) => this.boundary.reduce((sum, v) => sum + vertices[3 * v + c], 0));
    const from = vertices.map((value, n) => value - middle[n % 3] / this.boundary.length);
    let six = 0;
    for (let f = 0; f < this.faces.length; f += 3) {
      const a = 3 * this.faces[f],
        b = 3 * this.faces[f + 1],
        c = 3 * this.faces[f + 2];
      six += from[a] * (from[b + 1] * from[c + 2] - from[b + 2] * from[c + 1]);
      six += from[a + 1] * (from[b + 2] * from[c] - from[b] * from[c + 2]);
      six += from[a + 2] * (from[b] * from[c + 1] - from[b + 1] * from[c]);
    }
    return six / 6;
  }

  /**
   * Metres from the wrist to the tip of the middle finger, straight: the flat hand of that shape.
   * @type {(shape: NumberList) => number}
   */
  length(shape) {
    const joints = this.regress(this.vertices(new Float64Array(3 * (this.joints - 1)), shape));
    return Math.hypot(...[0, 1, 2].map((c) => joints[36 + c] - joints[c]));
  }

  /**
   * Coordinates a = A θ of the pose along the anatomical axes (twist, flexion, abduction of each joint), and back.
   * @type {(pose: NumberList) => Float64Array}
   */
  angles(pose) {
    return Float64Array.from(pose, (_, n) => {
      const j = n - (n % 3);
      return this.axes[3 * n] * pose[j] + this.axes[3 * n + 1] * pose[j + 1] + this.axes[3 * n + 2] * pose[j + 2];
    });
  }

  /** @type {(pose: number[], n: number, change: number) => void} */
  turn(pose, n, change) {
    const j = n - (n % 3);
    for (let c = 0; c < 3; c++) pose[j + c] += change * this.axes[3 * n + c];
  }
}
