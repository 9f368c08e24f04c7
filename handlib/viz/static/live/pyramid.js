// An image at every power of two, so that a crop of any size is sampled without aliasing; as handlib/photo/pyramid.py.

const BASE = 2; // the finest level from which whole ones are made
const COARSEST = 4; // the last level of which parts are made
const MARGIN = 1.4; // sides of a crop that are made ready for the next crops of the same hand

/**
 * @typedef {{floats: Float32Array, first: number, pitch: number}} Target pixels of three floats, in rows
 * @typedef {object} Level
 * @property {ArrayLike<number>} data
 * @property {number} channels 4: the image's own bytes; 3: floats in [0, 1]
 * @property {number} left of the part of the level that it is
 * @property {number} top
 * @property {number} width
 * @property {number} height
 */

export class Pyramid {
  /**
   * @param {import("./engine.js").Picture} image
   * @param {import("./kernels.js").Kernels} kernels
   */
  constructor(image, kernels) {
    const { data, width, height } = image;
    if (!(width > 0 && height > 0) || data.length !== 4 * width * height) {
      throw new Error(`a picture of ${width} × ${height} pixels has four bytes of each, not ${data.length} in all`);
    }
    this.width = width;
    this.height = height;
    this.data = data;
    this.kernels = kernels;
    /** @type {Level[]} */
    this.levels = [{ data, channels: 4, left: 0, top: 0, width, height }];
  }

  /**
   * The image at 1 / 2^number of its side, or the part that a crop needs and some more, which the next looks need.
   * @param {number} number
   * @param {import("./crops.js").Crop} crop
   * @returns {Level}
   */
  level(number, crop) {
    const width = Math.ceil(this.width / 2 ** number),
      height = Math.ceil(this.height / 2 ** number);
    const turned = Math.abs(Math.cos(crop.angle)) + Math.abs(Math.sin(crop.angle));
    /** @type {(reach: number) => number[]} */
    const box = (reach) => {
      const [x, y, half] = [crop.x, crop.y, (crop.side * turned * reach) / 2].map((value) => value / 2 ** number);
      const left = clampInt(x - half - 2, 0, width - 1),
        top = clampInt(y - half - 2, 0, height - 1);
      return [left, top, clampInt(x + half + 3, left + 1, width), clampInt(y + half + 3, top + 1, height)];
    };
    const made = this.levels[number],
      [left, top, right, bottom] = box(1);
    if (
      made &&
      made.left <= left &&
      made.top <= top &&
      made.left + made.width >= right &&
      made.top + made.height >= bottom
    ) {
      return made;
    }
    const [x0, y0, x1, y1] = box(MARGIN),
      whole = number > COARSEST || 2 * (x1 - x0) * (y1 - y0) > width * height;
    if (whole) return this.whole(number);
    this.levels[number] = this.part(number, x0, y0, x1, y1);
    return this.levels[number];
  }

  /**
   * A whole level. Coarse ones follow from level `BASE`, which looks at the hands that are found in them need anyway.
   * @param {number} number
   * @returns {Level}
   */
  whole(number) {
    const width = Math.ceil(this.width / 2 ** number),
      height = Math.ceil(this.height / 2 ** number);
    const made = this.levels[number];
    if (made && made.width === width && made.height === height) return made;
    this.levels[number] = number > BASE ? halved(this.whole(number - 1)) : this.part(number, 0, 0, width, height);
    return this.levels[number];
  }

  /**
   * Pixels of a level out of the image's bytes: means of means of 2 × 2, which are of fewer at the image's end.
   * @param {number} number 1 … COARSEST
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   * @returns {Level}
   */
  part(number, left, top, right, bottom) {
    const { width, height, data: bytes, kernels } = this,
      step = 2 ** number,
      wide = right - left,
      high = bottom - top;
    const data = new Float32Array(wide * high * 3),
      columns = clampInt(width / step - left, 0, wide), // of step × step pixels
      rows = clampInt(height / step - top, 0, high);
    const line = 4 * step * columns,
      x = kernels.lend(step * step * columns + 3 * columns + 1),
      y = x + step * line;
    for (let row = 0; row < rows; row++) {
      const lines = kernels.bytes(x, step * line);
      for (let n = 0; n < step; n++) {
        const from = 4 * (((top + row) * step + n) * width + left * step);
        lines.set(bytes.subarray(from, from + line), n * line);
      }
      kernels.run.shrink(x, line, step, y, columns);
      data.set(kernels.floats(y, 3 * columns), 3 * row * wide);
    }
    const wx = shares(width, number),
      wy = shares(height, number);
    for (let row = 0; row < high; row++) {
      for (let column = row < rows ? columns : 0; column < wide; column++) {
        const [x0, y0, to] = [(left + column) * step, (top + row) * step, 3 * (row * wide + column)];
        for (let v = y0; v < Math.min(y0 + step, height); v++) {
          for (let u = x0; u < Math.min(x0 + step, width); u++) {
            const share = (wx[u] * wy[v]) / 255;
            for (let c = 0; c < 3; c++) data[to + c] += share * bytes[4 * (v * width + u) + c];
          }
        }
      }
    }
    return { data, channels: 3, left, top, width: wide, height: high };
  }

  /**
   * A crop as a picture of `size` pixels, bilinear, into a target.
   * @param {import("./crops.js").Crop} crop
   * @param {number} size
   * @param {Target} target
   * @param {boolean} [black] what is beyond the image; else its rim is repeated
   * @param {boolean} [mirrored]
   */
  sample(crop, size, target, black = false, mirrored = false) {
    const number = Math.max(0, Math.floor(Math.log2(Math.max(crop.side / size, 1))));
    const { data, channels, left, top, width, height } = this.level(number, crop);
    const scale = 1 / 2 ** number,
      unit = channels === 4 ? 1 / 255 : 1;
    const wholeWidth = Math.ceil(this.width * scale),
      wholeHeight = Math.ceil(this.height * scale);
    const c = (Math.cos(crop.angle) * crop.side * scale) / size,
      s = (Math.sin(crop.angle) * crop.side * scale) / size;
    const { floats, first, pitch } = target,
      middle = (size - 1) / 2;
    for (let row = 0; row < size; row++) {
      let x = crop.x * scale - 0.5 - c * middle - s * (row - middle),
        y = crop.y * scale - 0.5 - s * middle + c * (row - middle);
      let to = first + row * pitch + (mirrored ? 3 * (size - 1) : 0);
      for (let column = 0; column < size; column++, x += c, y += s, to += mirrored ? -3 : 3) {
        const u = black ? x : x < 0 ? 0 : x > wholeWidth - 1 ? wholeWidth - 1 : x;
        const v = black ? y : y < 0 ? 0 : y > wholeHeight - 1 ? wholeHeight - 1 : y;
        const u0 = Math.floor(u),
          v0 = Math.floor(v),
          fu = u - u0,
          fv = v - v0;
        let a = (1 - fu) * (1 - fv) * unit,
          b = fu * (1 - fv) * unit,
          d = (1 - fu) * fv * unit,
          e = fu * fv * unit;
        let x0 = u0 - left,
          x1 = x0 + 1,
          y0 = v0 - top,
          y1 = y0 + 1;
        if (x0 < 0 || y0 < 0 || x1 >= width || y1 >= height) {
          if (x0 < 0 || x0 >= width) {
            a = d = 0;
            x0 = 0;
          }
          if (x1 < 0 || x1 >= width) {
            b = e = 0;
            x1 = 0;
          }
          if (y0 < 0 || y0 >= height) {
            a = b = 0;
            y0 = 0;
          }
          if (y1 < 0 || y1 >= height) {
            d = e = 0;
            y1 = 0;
          }
        }
        const p = channels * (y0 * width + x0),
          q = channels * (y0 * width + x1);
        const r = channels * (y1 * width + x0),
          t = channels * (y1 * width + x1);
        floats[to] = a * data[p] + b * data[q] + d * data[r] + e * data[t];
        floats[to + 1] = a * data[p + 1] + b * data[q + 1] + d * data[r + 1] + e * data[t + 1];
        floats[to + 2] = a * data[p + 2] + b * data[q + 2] + d * data[r + 2] + e * data[t + 2];
      }
    }
  }
}

/** @type {(value: number, low: number, high: number) => number} */
function clampInt(value, low, high) {
  return Math.min(Math.max(Math.floor(value), low), high);
}

/**
 * What each pixel of an axis counts in its pixel of a level.
 * @type {(length: number, number: number) => Float64Array}
 */
function shares(length, number) {
  const share = new Float64Array(length).fill(1);
  for (let level = 0, side = length; level < number; level++, side = Math.ceil(side / 2)) {
    for (let i = 0; i < length; i++) if (side % 2 === 0 || i >> level < side - 1) share[i] /= 2;
  }
  return share;
}

/**
 * A whole level at half its side.
 * @param {Level} level
 * @returns {Level}
 */
function halved({ data, width, height }) {
  const wide = Math.ceil(width / 2),
    high = Math.ceil(height / 2),
    half = new Float32Array(wide * high * 3);
  for (let y = 0, to = 0; y < high; y++) {
    const top = 2 * y * width,
      bottom = Math.min(2 * y + 1, height - 1) * width;
    for (let x = 0; x < wide; x++) {
      const left = 2 * x,
        right = Math.min(2 * x + 1, width - 1);
      const a = 3 * (top + left),
        b = 3 * (top + right),
        c = 3 * (bottom + left),
        d = 3 * (bottom + right);
      for (let n = 0; n < 3; n++, to++) half[to] = (data[a + n] + data[b + n] + data[c + n] + data[d + n]) / 4;
    }
  }
  return { data: half, channels: 3, left: 0, top: 0, width: wide, height: high };
}
