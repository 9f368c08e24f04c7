// The networks' inner loops: WebAssembly SIMD from simd.ts, or the same in plain JavaScript, on one growing memory.
//
// Why not ONNX Runtime Web: it brings more WebAssembly than the page may weigh, file:// cannot start it, and on one
// core it is slower for the landmark network.

const LINEAR = 0,
  RELU6 = 1,
  PRELU = 2;
export const ACTIVATIONS = { linear: LINEAR, relu6: RELU6, prelu: PRELU };
const PAGE = 65536;

/**
 * @typedef {object} KernelFunctions as simd.ts documents them; pointers are bytes
 * @property {(x: number, lines: number, run: number, pitch: number, step: number, rowStep: number, w: number,
 *   bias: number, slopes: number, add: number, y: number, rows: number, columns: number, outputs: number,
 *   activation: number) => void} conv
 * @property {(x: number, pitch: number, w: number, bias: number, y: number, rows: number, columns: number,
 *   channels: number, kernel: number, stride: number, activation: number) => void} depthwise
 * @property {(x: number, side: number, channels: number, before: number, after: number, y: number) => void} pad
 * @property {(x: number, side: number, channels: number, outputs: number, y: number) => void} pool
 * @property {(x: number, side: number, channels: number, y: number) => void} upsample
 * @property {(x: number, add: number, y: number, count: number) => void} sum
 * @property {(x: number, pitch: number, step: number, y: number, columns: number) => void} shrink
 */

export class Kernels {
  /**
   * @param {WebAssembly.Memory} memory
   * @param {KernelFunctions} functions
   * @param {boolean} simd
   */
  constructor(memory, functions, simd) {
    this.memory = memory;
    this.run = functions;
    this.simd = simd;
    this.end = 1024; // of what is taken
    this.lent = { at: 0, count: 0 };
  }

  /**
   * @param {Uint8Array[]} modules of simd.ts, the best first: which of them runs depends on the browser
   * @param {boolean} simd false: plain JavaScript
   */
  static async create(modules, simd) {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const wasm = simd && modules.find((module) => WebAssembly.validate(/** @type {BufferSource} */ (module)));
    if (wasm) {
      const made = await WebAssembly.instantiate(/** @type {BufferSource} */ (wasm), { env: { memory } });
      const functions = /** @type {unknown} */ (made.instance.exports);
      return new Kernels(memory, /** @type {KernelFunctions} */ (functions), true);
    }
    const kernels = new Kernels(memory, /** @type {any} */ (null), false);
    kernels.run = plainKernels(() => new Float32Array(memory.buffer));
    return kernels;
  }

  /**
   * A place for some floats, for as long as the memory lives. Views of the memory end when it grows.
   * @param {number} count
   */
  take(count) {
    const at = this.end;
    this.end += (4 * count + 63) & ~63;
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return at;
  }

  /**
   * @param {number} at
   * @param {number} count
   */
  floats(at, count) {
    return new Float32Array(this.memory.buffer, at, count);
  }

  /**
   * A place for some floats until the next call.
   * @param {number} count
   */
  lend(count) {
    if (this.lent.count < count) this.lent = { at: this.take(count), count };
    return this.lent.at;
  }

  /**
   * The memory from a place on.
   * @param {number} at
   * @param {number} count
   */
  bytes(at, count) {
    return new Uint8Array(this.memory.buffer, at, count);
  }

  /** @param {ArrayLike<number>} values */
  put(values) {
    const at = this.take(values.length);
    this.floats(at, values.length).set(values);
    return at;
  }
}

/**
 * The plain twins of simd.ts.
 * @param {() => Float32Array} memory
 * @returns {KernelFunctions}
 */
export function plainKernels(memory) {
  /** @type {(value: number, activation: number, slope: number) => number} */
  const activate = (value, activation, slope) => {
    if (activation === RELU6) return value < 0 ? 0 : value > 6 ? 6 : value;
    return activation === PRELU && value < 0 ? slope * value : value;
  };
  return {
    conv(x, lines, run, pitch, step, rowStep, w, bias, slopes, add, y, rows, columns, outputs, activation) {
      const f = memory();
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const from = (x + row * rowStep + column * step) >> 2,
            at = (row * columns + column) * outputs;
          for (let n = 0, q = w >> 2; n < outputs; n += 8) {
            let [s0, s1, s2, s3, s4, s5, s6, s7] = [0, 0, 0, 0, 0, 0, 0, 0];
            for (let l = 0; l < lines; l++) {
              for (let p = from + l * (pitch >> 2), stop = p + run; p < stop; p++, q += 8) {
                const value = f[p];
                s0 += value * f[q];
                s1 += value * f[q + 1];
                s2 += value * f[q + 2];
                s3 += value * f[q + 3];
                s4 += value * f[q + 4];
                s5 += value * f[q + 5];
                s6 += value * f[q + 6];
                s7 += value * f[q + 7];
              }
            }
            [s0, s1, s2, s3, s4, s5, s6, s7].forEach((sum, o) => {
              sum += f[(bias >> 2) + n + o] + (add ? f[(add >> 2) + at + n + o] : 0);
              f[(y >> 2) + at + n + o] = activate(sum, activation, slopes ? f[(slopes >> 2) + n + o] : 0);
            });
          }
        }
      }
    },
    depthwise(x, pitch, w, bias, y, rows, columns, channels, kernel, stride, activation) {
      const f = memory(),
        line = pitch >> 2;
      for (let row = 0, to = y >> 2; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const from = (x >> 2) + row * stride * line + column * stride * channels;
          for (let c = 0; c < channels; c++, to++) {
            let sum = f[(bias >> 2) + c],
              q = (w >> 2) + c;
            for (let u = 0; u < kernel; u++) {
              for (let v = 0, p = from + u * line + c; v < kernel; v++, p += channels, q += channels)
                sum += f[p] * f[q];
            }
            f[to] = activate(sum, activation, 0);
          }
        }
      }
    },
    pad(x, side, channels, before, after, y) {
      const f = memory(),
        line = side * channels,
        pitch = line + (before + after) * channels;
      f.fill(0, y >> 2, (y >> 2) + (side + before + after) * pitch);
      for (let row = 0; row < side; row++) {
        const from = (x >> 2) + row * line;
        f.copyWithin((y >> 2) + (row + before) * pitch + before * channels, from, from + line);
      }
    },
    pool(x, side, channels, outputs, y) {
      const f = memory(),
        line = side * channels;
      for (let row = 0, to = y >> 2; row < side; row += 2) {
        for (let column = 0; column < side; column += 2) {
          const from = (x >> 2) + row * line + column * channels;
          for (let c = 0; c < outputs; c++, to++) {
            const p = from + c;
            f[to] = c < channels ? Math.max(f[p], f[p + channels], f[p + line], f[p + line + channels]) : 0;
          }
        }
      }
    },
    upsample(x, side, channels, y) {
      const f = memory(),
        line = side * channels;
      for (let row = 0, to = y >> 2; row < 2 * side; row++) {
        const above = Math.max((row - 1) >> 1, 0),
          below = Math.min((row + 1) >> 1, side - 1);
        const down = row & 1 ? 0.25 : 0.75;
        for (let column = 0; column < 2 * side; column++) {
          const left = Math.max((column - 1) >> 1, 0),
            right = Math.min((column + 1) >> 1, side - 1);
          const along = column & 1 ? 0.25 : 0.75;
          for (let c = 0; c < channels; c++, to++) {
            const p = (x >> 2) + c + above * line,
              q = (x >> 2) + c + below * line;
            const top = f[p + left * channels] + along * (f[p + right * channels] - f[p + left * channels]);
            const bottom = f[q + left * channels] + along * (f[q + right * channels] - f[q + left * channels]);
            f[to] = top + down * (bottom - top);
          }
        }
      }
    },
    sum(x, add, y, count) {
      const f = memory();
      for (let i = 0; i < count; i++) f[(y >> 2) + i] = f[(x >> 2) + i] + f[(add >> 2) + i];
    },
    shrink(x, pitch, step, y, columns) {
      const f = memory(),
        pixels = new Uint32Array(f.buffer), // alpha, blue, green, red
        scale = 1 / (255 * step * step);
      for (let column = 0, to = y >> 2, from = x >> 2; column < columns; column++, to += 3, from += step) {
        let red = 0,
          green = 0,
          blue = 0;
        for (let row = 0, p = from; row < step; row++, p = from + row * (pitch >> 2)) {
          let redBlue = 0; // both are summed in the halves of one number
          for (let n = 0; n < step; n++) {
            redBlue += pixels[p + n] & 0xff00ff;
            green += (pixels[p + n] >> 8) & 0xff;
          }
          red += redBlue & 0xffff;
          blue += redBlue >>> 16;
        }
        f[to] = red * scale;
        f[to + 1] = green * scale;
        f[to + 2] = blue * scale;
      }
    },
  };
}
