// E3D and Ref: from evidence to h in a few steps, as handlib/regressor.py and networks/photo_trunk.py.

import { linear } from "./detectors.js";
import { arraysOf } from "./pack.js";

/** @typedef {{h: Float64Array, evidence_2d: Float64Array, vertices: Float32Array, joints: Float64Array}} RegressedState
 * vertices of the model's own frame; joints 63 and evidence_2d 42, crop coordinates */

export class Regressor {
  /**
   * @param {import("./pack.js").Pack} pack
   * @param {import("./hand_model.js").HandModel} hand
   */
  constructor(pack, hand) {
    const arrays = arraysOf(pack, "e3d."),
      { photo_trunk } = pack.live.constants;
    this.hand = hand;
    this.iterations = pack.live.e3d.iterations;
    this.spread = photo_trunk.SPREAD;
    this.clip = photo_trunk.CLIP;
    this.start = Float64Array.from(arrays.start);
    this.mean = arrays.mean;
    this.principal = arrays.directions.length / arrays.mean.length;
    this.directions = arrays.directions; // features × principal
    /** @type {(name: string) => {weight: Float32Array, bias: Float32Array}[]} */
    const layers = (name) =>
      [0, 2, 4]
        .filter((n) => `${name}.${n}.bias` in arrays)
        .map((n) => ({ weight: arrays[`${name}.${n}.weight`], bias: arrays[`${name}.${n}.bias`] }));
    this.estimator = layers("estimate");
    this.refiner = layers("refiner");
  }

  /**
   * The states 0 … iterations; the last one is the estimate.
   * @param {import("./detectors.js").Evidence} evidence
   * @param {{iterations?: number, refiner?: boolean, features?: boolean}} [options]
   * @returns {RegressedState[]}
   */
  states(evidence, { iterations = this.iterations, refiner = true, features = true } = {}) {
    const seen = this.conditions(evidence, features);
    const states = [
      this.state(
        this.start,
        evidence.points.filter((_, i) => i % 3 < 2),
      ),
    ];
    for (let n = 0; n < iterations; n++) {
      const { h, evidence_2d, joints } = states[n];
      const step = layered(this.estimator, joined(seen, evidence_2d, h));
      const offset = refiner ? layered(this.refiner, joined(h, seen, joints, evidence_2d)) : null;
      states.push(
        this.state(
          h.map((value, i) => value + step[i]),
          offset ? evidence_2d.map((value, i) => value + offset[i]) : evidence_2d,
        ),
      );
    }
    return states;
  }

  /**
   * @param {Float64Array} h
   * @param {Float64Array} evidence_2d
   * @returns {RegressedState}
   */
  state(h, evidence_2d) {
    const vertices = this.hand.meshOf(h);
    return { h, evidence_2d, vertices, joints: this.hand.toCrop(this.hand.regress(vertices), h) };
  }

  /**
   * What E3D and Ref see of the evidence beside j2D.
   * @param {import("./detectors.js").Evidence} evidence
   * @param {boolean} features false: F at its mean
   */
  conditions({ features: own, points, points_3d }, features) {
    const { principal, directions, mean, clip } = this,
      seen = new Float64Array(principal + 84);
    if (features) {
      for (let i = 0, at = 0; i < own.length; i++) {
        const value = own[i] - mean[i];
        for (let k = 0; k < principal; k++, at++) seen[k] += value * directions[at];
      }
      for (let k = 0; k < principal; k++) seen[k] = Math.min(Math.max(seen[k], -clip), clip);
    }
    const middle = [0, 0, 0];
    points_3d.forEach((value, i) => (middle[i % 3] += value / 21));
    for (let j = 0; j < 21; j++) seen[principal + j] = points[3 * j + 2];
    points_3d.forEach((value, i) => (seen[principal + 21 + i] = (value - middle[i % 3]) * this.spread));
    return seen;
  }
}

/**
 * Linear layers with ReLU between them.
 * @param {{weight: Float32Array, bias: Float32Array}[]} layers
 * @param {Float64Array} x
 */
function layered(layers, x) {
  return layers.reduce((y, layer, n) => linear(layer, n ? y.map((value) => Math.max(value, 0)) : y), x);
}

/** @param {Float64Array[]} parts */
function joined(...parts) {
  const whole = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
