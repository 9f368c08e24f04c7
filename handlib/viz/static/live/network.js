// Runs a network's program (handlib/photo/live.py) on one picture after another.

import { ACTIVATIONS } from "./kernels.js";

/**
 * @typedef {object} Step
 * @property {"conv" | "depthwise" | "pool" | "upsample" | "add"} kind
 * @property {number} input number of the map that it reads; 0 is the picture
 * @property {number} channels of its output
 * @property {number | null} [add] number of the map that is added
 * @property {keyof typeof ACTIVATIONS} [activation]
 * @property {string} [weight]
 * @property {string | null} [bias]
 * @property {string} [slopes]
 * @property {number} [kernel]
 * @property {number} [stride]
 * @property {number} [before] rows of padding
 * @property {number} [after]
 *
 * @typedef {{at: number, side: number, channels: number, count: number}} FeatureMap channels as they lie in memory
 */

export class Network {
  /**
   * @param {import("./kernels.js").Kernels} kernels
   * @param {{size: number, steps: Step[]}} program
   * @param {Record<string, any>} arrays weights as torch lays them out
   * @param {Map<string, number>} [packed] where weights are that another size of the network has put into the memory
   */
  constructor(kernels, { size, steps }, arrays, packed = new Map()) {
    this.kernels = kernels;
    this.size = size;
    this.packed = packed;
    /** @type {(size: number) => Network} */
    this.remake = (size) => new Network(kernels, { size, steps }, arrays, packed);
    /** @type {Map<number, Network>} */
    this.sizes = new Map([[size, this]]);
    this.free = /** @type {FeatureMap[]} */ ([]);
    const { before = 0, after = 0 } = steps[0];
    // The picture lies in the middle of its padding, which stays zero.
    this.picture = this.room(size + before + after, 3);
    this.before = before;
    this.maps = [this.picture];
    /** @type {(() => void)[]} */
    this.calls = [];
    steps.forEach((step, n) => {
      this.calls.push(this.call(step, arrays));
      const read = [step.input, step.add ?? 0].filter(
        (map) => map && !steps.slice(n + 1).some((s) => s.input === map || s.add === map),
      );
      new Set(read).forEach((map) => this.free.push(this.maps[map]));
    });
  }

  /**
   * The same network for pictures of another size.
   * @param {number} size
   */
  of(size) {
    const made = this.sizes.get(size) ?? this.remake(size);
    this.sizes.set(size, made);
    return made;
  }

  /**
   * Where an array is in the memory, in the order in which the kernels read it.
   * @param {string} name
   * @param {() => ArrayLike<number>} ordered
   */
  weights(name, ordered) {
    const at = this.packed.get(name) ?? this.kernels.put(ordered());
    this.packed.set(name, at);
    return at;
  }

  /** The picture's first pixel and the floats from row to row, in the memory as it is now. */
  input() {
    const { side, at, count } = this.picture,
      { before } = this;
    return { floats: this.kernels.floats(at, count), first: 3 * before * (side + 1), pitch: 3 * side };
  }

  run() {
    for (const call of this.calls) call();
  }

  /**
   * The last maps, views of the memory.
   * @param {number} count
   */
  outputs(count = 1) {
    return this.maps.slice(-count).map((map) => ({ ...map, values: this.kernels.floats(map.at, map.count) }));
  }

  /**
   * Makes room for a step's output and what it reads, and returns what runs it.
   * @param {Step} step
   * @param {Record<string, any>} arrays
   * @returns {() => void}
   */
  call(step, arrays) {
    const functions = this.kernels.run,
      x = this.maps[step.input];
    const { kernel = 1, stride = 1, before = 0, after = 0 } = step,
      activation = ACTIVATIONS[step.activation ?? "linear"];
    const add = step.add == null ? 0 : this.maps[step.add].at;
    const name = /** @type {string} */ (step.weight),
      outputs = eights(step.channels);
    const bias = () => {
      const own = new Float32Array(outputs);
      if (step.bias) own.set(arrays[step.bias]);
      return own;
    };
    if (step.kind === "conv") {
      const w = this.weights(name, () => packedWeights(arrays[name], step.channels, kernel * kernel, x.channels)),
        b = this.weights(`${name} bias`, bias),
        slopes = step.slopes ? this.weights(step.slopes, () => arrays[/** @type {string} */ (step.slopes)]) : 0;
      const pixel = 4 * x.channels,
        line = pixel * x.side;
      const side = step.input ? x.side : this.size / stride,
        y = this.output(side, outputs);
      // A convolution of single pixels does not know of rows.
      const [rows, columns] = kernel > 1 ? [side, side] : [1, side * side];
      return () =>
        functions.conv(
          x.at,
          kernel,
          kernel * x.channels,
          line,
          stride * pixel,
          stride * line,
          w,
          b,
          slopes,
          add,
          y.at,
          rows,
          columns,
          y.channels,
          activation,
        );
    }
    if (step.kind === "depthwise") {
      const w = this.weights(name, () => transposed(arrays[name], x.channels)),
        b = this.weights(`${name} bias`, bias);
      const padded = this.room(x.side + before + after, x.channels),
        side = x.side / stride,
        y = this.output(side, x.channels);
      this.free.push(padded);
      const pitch = 4 * padded.side * x.channels;
      return () => {
        functions.pad(x.at, x.side, x.channels, before, after, padded.at);
        functions.depthwise(padded.at, pitch, w, b, y.at, side, side, x.channels, kernel, stride, activation);
      };
    }
    if (step.kind === "pool") {
      const y = this.output(x.side / 2, step.channels);
      return () => functions.pool(x.at, x.side, x.channels, y.channels, y.at);
    }
    if (step.kind === "upsample") {
      const y = this.output(2 * x.side, x.channels);
      return () => functions.upsample(x.at, x.side, x.channels, y.at);
    }
    const y = this.output(x.side, x.channels);
    return () => functions.sum(x.at, add, y.at, y.count);
  }

  /**
   * @param {number} side
   * @param {number} channels
   */
  output(side, channels) {
    const y = this.room(side, channels);
    this.maps.push(y);
    return y;
  }

  /**
   * Room for a map: the smallest that is free, or more memory.
   * @param {number} side
   * @param {number} channels
   * @returns {FeatureMap}
   */
  room(side, channels) {
    const count = side * side * channels,
      fits = this.free.filter((room) => room.count >= count);
    const best = fits.sort((a, b) => a.count - b.count)[0];
    if (best) this.free.splice(this.free.indexOf(best), 1);
    return { at: best ? best.at : this.kernels.take(count), side, channels, count };
  }
}

/** @param {number} n */
function eights(n) {
  return (n + 7) & ~7;
}

/**
 * A convolution's weights as the kernel reads them, [outputs / 8][rows, columns, inputs][8]; torch has
 * [outputs][inputs][rows, columns]. Inputs beyond the file's are another convolution's unused outputs.
 * @param {Float32Array} weights
 * @param {number} outputs
 * @param {number} area
 * @param {number} inputs
 */
function packedWeights(weights, outputs, area, inputs) {
  const packed = new Float32Array(eights(outputs) * area * inputs),
    own = weights.length / outputs / area;
  for (let o = 0, from = 0; o < outputs; o++) {
    for (let i = 0; i < own; i++) {
      for (let k = 0; k < area; k++, from++)
        packed[((o >> 3) * area * inputs + k * inputs + i) * 8 + (o & 7)] = weights[from];
    }
  }
  return packed;
}

/**
 * @param {Float32Array} weights [channels][k]
 * @param {number} channels
 */
function transposed(weights, channels) {
  const area = weights.length / channels;
  return Float32Array.from(weights, (_, n) => weights[(n % channels) * area + Math.floor(n / channels)]);
}
