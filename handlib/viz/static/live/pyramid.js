// An image at every power of two, so that a crop of any size is sampled without aliasing; as handlib/photo/pyramid.py.

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
  /** @param {{data: ArrayLike<number>, width: number, height: number}} image RGBA bytes */
  constructor(image) {
    const { data, width, height } = image;
    this.width = width;
    this.height = height;
    /** @type {Level[]} */
    this.levels = [{ data, channels: 4, left: 0, top: 0, width, height }];
  }

  /**
   * The part of the image at 1 / 2^number of its side that a crop needs.
   * @param {number} number
   * @param {import("./crops.js").Crop} crop
   * @returns {Level}
   */
  level(number, crop) {
    if (this.levels[number]) return this.levels[number];
    const width = Math.ceil(this.width / 2 ** number), height = Math.ceil(this.height / 2 ** number);
    const reach = (crop.side * (Math.abs(Math.cos(crop.angle)) + Math.abs(Math.sin(crop.angle)))) / 2 / 2 ** number + 2;
    const [x, y] = [crop.x / 2 ** number, crop.y / 2 ** number];
    const left = clampInt(x - reach, 0, width - 1), right = clampInt(x + reach + 1, left + 1, width);
    const top = clampInt(y - reach, 0, height - 1), bottom = clampInt(y + reach + 1, top + 1, height);
    if (2 * (right - left) * (bottom - top) < width * height) return this.part(number, left, top, right, bottom);
    // The whole level is kept; the next ones follow from it.
    const finer = this.levels.findLastIndex((level, n) => level && n > 0 && n < number);
    this.levels[number] = finer < 0 ? this.part(number, 0, 0, width, height) : halved(this.levels[finer], number - finer);
    return this.levels[number];
  }

  /**
   * Pixels of a level out of the image's bytes: means of means of 2 × 2, which are of fewer at the image's end.
   * @param {number} number
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   * @returns {Level}
   */
  part(number, left, top, right, bottom) {
    const { width, height } = this, bytes = this.levels[0].data, step = 2 ** number;
    const wide = right - left, high = bottom - top, data = new Float32Array(wide * high * 3);
    const wx = shares(width, number), wy = shares(height, number), lastFull = Math.min(right, Math.floor(width / step));
    for (let y = top * step; y < Math.min(bottom * step, height); y++) {
      const weight = wy[y] / 255, full = weight / step;
      let to = ((y >> number) - top) * wide * 3, p = 4 * (y * width + left * step);
      for (let column = left; column < lastFull; column++, to += 3) {
        let r = 0, g = 0, b = 0;
        for (const end = p + 4 * step; p < end; p += 4) {
          r += bytes[p];
          g += bytes[p + 1];
          b += bytes[p + 2];
        }
        data[to] += full * r;
        data[to + 1] += full * g;
        data[to + 2] += full * b;
      }
      if (lastFull === right) continue;
      for (let x = Math.max(lastFull, left) * step; x < width; x++, p += 4) for (let c = 0; c < 3; c++) data[to + c] += weight * wx[x] * bytes[p + c];
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
    const scale = 1 / 2 ** number, unit = channels === 4 ? 1 / 255 : 1;
    const wholeWidth = Math.ceil(this.width * scale), wholeHeight = Math.ceil(this.height * scale);
    const c = (Math.cos(crop.angle) * crop.side * scale) / size, s = (Math.sin(crop.angle) * crop.side * scale) / size;
    const { floats, first, pitch } = target, middle = (size - 1) / 2;
    for (let row = 0; row < size; row++) {
      let x = crop.x * scale - 0.5 - c * middle - s * (row - middle), y = crop.y * scale - 0.5 - s * middle + c * (row - middle);
      let to = first + row * pitch + (mirrored ? 3 * (size - 1) : 0);
      for (let column = 0; column < size; column++, x += c, y += s, to += mirrored ? -3 : 3) {
        const u = black ? x : x < 0 ? 0 : x > wholeWidth - 1 ? wholeWidth - 1 : x;
        const v = black ? y : y < 0 ? 0 : y > wholeHeight - 1 ? wholeHeight - 1 : y;
        const u0 = Math.floor(u), v0 = Math.floor(v), fu = u - u0, fv = v - v0;
        let a = (1 - fu) * (1 - fv) * unit, b = fu * (1 - fv) * unit, d = (1 - fu) * fv * unit, e = fu * fv * unit;
        let x0 = u0 - left, x1 = x0 + 1, y0 = v0 - top, y1 = y0 + 1;
        if (x0 < 0 || y0 < 0 || x1 >= width || y1 >= height) {
          if (x0 < 0 || x0 >= width) { a = d = 0; x0 = 0; }
          if (x1 < 0 || x1 >= width) { b = e = 0; x1 = 0; }
          if (y0 < 0 || y0 >= height) { a = b = 0; y0 = 0; }
          if (y1 < 0 || y1 >= height) { d = e = 0; y1 = 0; }
        }
        const p = channels * (y0 * width + x0), q = channels * (y0 * width + x1);
        const r = channels * (y1 * width + x0), t = channels * (y1 * width + x1);
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
 * A whole level, halved some times.
 * @param {Level} level
 * @param {number} times
 * @returns {Level}
 */
function halved(level, times) {
  if (!times) return level;
  const { data, width, height } = level, wide = Math.ceil(width / 2), high = Math.ceil(height / 2);
  const half = new Float32Array(wide * high * 3);
  for (let y = 0, to = 0; y < high; y++) {
    const top = 2 * y * width, bottom = Math.min(2 * y + 1, height - 1) * width;
    for (let x = 0; x < wide; x++) {
      const left = 2 * x, right = Math.min(2 * x + 1, width - 1);
      for (let c = 0; c < 3; c++, to++) {
        half[to] = (data[3 * (top + left) + c] + data[3 * (top + right) + c] + data[3 * (bottom + left) + c] + data[3 * (bottom + right) + c]) / 4;
      }
    }
  }
  return halved({ data: half, channels: 3, left: 0, top: 0, width: wide, height: high }, times - 1);
}
