// The networks' inner loops in AssemblyScript, for WebAssembly SIMD; kernels.js has the same in plain JavaScript.
//
// Maps are channel-last, [row][column][channel], channels a multiple of 4, of convolutions' outputs of 8. Pointers and
// strides are bytes. tests/photo/test_live.py has the commands that make two modules of it: simd.wasm, and relaxed.wasm
// for browsers with relaxed SIMD, whose convolutions are a third faster: a product and its sum are one instruction.

const LINEAR = 0, RELU6 = 1, PRELU = 2; // activations; `slopes` are PReLU's
const BLOCK = 50; // pixels whose inputs stay in the cache while all their outputs are made
// Pixels at once. With 8 channels each, their 10 sums and all that is loaded for one input fit into 16 registers. V8
// loads first whatever one turn of a loop needs, so that a sixth pixel or a second input costs more than it saves.
const TILE = 5;

// @ts-ignore: decorator
@inline function madd(a: v128, b: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, sum);
  return f32x4.add(f32x4.mul(a, b), sum);
}

// @ts-ignore: decorator
@inline function activate(value: v128, activation: i32, slope: v128): v128 {
  if (activation == RELU6) return f32x4.min(f32x4.max(value, f32x4.splat(0)), f32x4.splat(6));
  if (activation != PRELU) return value;
  return f32x4.add(f32x4.max(value, f32x4.splat(0)), f32x4.mul(slope, f32x4.min(value, f32x4.splat(0))));
}

// @ts-ignore: decorator
@inline function store(sum0: v128, sum1: v128, y: usize, add: usize, activation: i32, slope0: v128,
                       slope1: v128): void {
  if (add) {
    sum0 = f32x4.add(sum0, v128.load(add));
    sum1 = f32x4.add(sum1, v128.load(add, 16));
  }
  v128.store(y, activate(sum0, activation, slope0));
  v128.store(y, activate(sum1, activation, slope1), 16);
}

/**
 * y = activation(convolution(x) + bias + add). x is padded; a pixel's inputs are `lines` runs of `run` numbers, `pitch`
 * apart; pixels are `step` apart, rows `rowStep`. w: [outputs / 8][lines · run][8]. columns ≥ TILE.
 */
export function conv(x: usize, lines: i32, run: i32, pitch: usize, step: usize, rowStep: usize, w: usize, bias: usize,
                     slopes: usize, add: usize, y: usize, rows: i32, columns: i32, outputs: i32,
                     activation: i32): void {
  const line = <usize>run << 2, panel = <usize>(lines * run) << 5, pixel = <usize>outputs << 2;
  for (let row = 0; row < rows; row++, x += rowStep) {
    for (let begin = 0; begin < columns; begin += BLOCK) {
      const end = min(begin + BLOCK, columns);
      for (let n = 0; n < outputs; n += 8) {
        const own = <usize>n << 2, weights = w + (<usize>n >> 3) * panel;
        const b0 = v128.load(bias + own), b1 = v128.load(bias + own, 16);
        let s0 = b0, s1 = b1;
        if (activation == PRELU) { s0 = v128.load(slopes + own); s1 = v128.load(slopes + own, 16); }
        for (let column = begin; column < end; column += TILE) {
          const first = min(column, columns - TILE); // the last tile may do some pixels again
          let p = x + <usize>first * step, q = weights;
          let a0 = b0, a1 = b1, c0 = b0, c1 = b1, d0 = b0, d1 = b1, e0 = b0, e1 = b1, f0 = b0, f1 = b1; // five sums
          for (let l = 0; l < lines; l++, p += pitch - line) {
            for (const stop = p + line; p < stop; p += 4, q += 32) {
              const w0 = v128.load(q), w1 = v128.load(q, 16);
              let t = p, v = v128.load32_splat(t);
              a0 = madd(v, w0, a0); a1 = madd(v, w1, a1); t += step; v = v128.load32_splat(t);
              c0 = madd(v, w0, c0); c1 = madd(v, w1, c1); t += step; v = v128.load32_splat(t);
              d0 = madd(v, w0, d0); d1 = madd(v, w1, d1); t += step; v = v128.load32_splat(t);
              e0 = madd(v, w0, e0); e1 = madd(v, w1, e1); t += step; v = v128.load32_splat(t);
              f0 = madd(v, w0, f0); f1 = madd(v, w1, f1);
            }
          }
          const at = <usize>(row * columns + first) * pixel + own;
          let to = y + at, from = add ? add + at : 0;
          const next = add ? pixel : 0;
          store(a0, a1, to, from, activation, s0, s1); to += pixel; from += next;
          store(c0, c1, to, from, activation, s0, s1); to += pixel; from += next;
          store(d0, d1, to, from, activation, s0, s1); to += pixel; from += next;
          store(e0, e1, to, from, activation, s0, s1); to += pixel; from += next;
          store(f0, f1, to, from, activation, s0, s1);
        }
      }
    }
  }
}

/**
 * A filter of its own for each channel. x is padded, its rows `pitch` apart; w: [kernel²][channels]. columns ≥ 4,
 * channels a multiple of 8.
 */
export function depthwise(x: usize, pitch: usize, w: usize, bias: usize, y: usize, rows: i32, columns: i32,
                          channels: i32, kernel: i32, stride: i32, activation: i32): void {
  const pixel = <usize>channels << 2, step = pixel * stride, none = f32x4.splat(0);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += 4) {
      const first = min(column, columns - 4);
      const from = x + <usize>(row * stride) * pitch + <usize>first * step;
      const to = y + <usize>(row * columns + first) * pixel;
      for (let c: usize = 0; c < pixel; c += 32) {
        let a0 = v128.load(bias + c), a1 = v128.load(bias + c, 16); // sums of four pixels
        let b0 = a0, b1 = a1, d0 = a0, d1 = a1, e0 = a0, e1 = a1;
        for (let u = 0; u < kernel; u++) {
          for (let phase = 0; phase < stride; phase++) { // columns that are `stride` apart: three of four inputs stay
            let p = from + c + <usize>u * pitch + <usize>phase * pixel;
            let q = w + c + <usize>(u * kernel + phase) * pixel;
            let i0 = v128.load(p), i1 = v128.load(p, 16); p += step;
            let j0 = v128.load(p), j1 = v128.load(p, 16); p += step;
            let k0 = v128.load(p), k1 = v128.load(p, 16); p += step;
            for (let v = phase; v < kernel; v += stride, p += step, q += step) {
              const w0 = v128.load(q), w1 = v128.load(q, 16), l0 = v128.load(p), l1 = v128.load(p, 16);
              a0 = madd(i0, w0, a0); a1 = madd(i1, w1, a1); i0 = j0; i1 = j1;
              b0 = madd(j0, w0, b0); b1 = madd(j1, w1, b1); j0 = k0; j1 = k1;
              d0 = madd(k0, w0, d0); d1 = madd(k1, w1, d1); k0 = l0; k1 = l1;
              e0 = madd(l0, w0, e0); e1 = madd(l1, w1, e1);
            }
          }
        }
        let out = to + c;
        store(a0, a1, out, 0, activation, none, none); out += pixel;
        store(b0, b1, out, 0, activation, none, none); out += pixel;
        store(d0, d1, out, 0, activation, none, none); out += pixel;
        store(e0, e1, out, 0, activation, none, none);
      }
    }
  }
}

/** A square map of `side` with `before` rows and columns of zeros in front of it and `after` behind. */
export function pad(x: usize, side: i32, channels: i32, before: i32, after: i32, y: usize): void {
  const line = <usize>(side * channels) << 2, left = <usize>(before * channels) << 2;
  const right = <usize>(after * channels) << 2, pitch = left + line + right;
  memory.fill(y, 0, <usize>before * pitch);
  y += <usize>before * pitch;
  for (let row = 0; row < side; row++, x += line, y += pitch) {
    memory.fill(y, 0, left);
    memory.copy(y + left, x, line);
    memory.fill(y + left + line, 0, right);
  }
  memory.fill(y, 0, <usize>after * pitch);
}

/** The largest of each 2 × 2 pixels of a square map; new channels are zero. */
export function pool(x: usize, side: i32, channels: i32, outputs: i32, y: usize): void {
  const pixel = <usize>channels << 2, line = pixel * side, wide = <usize>outputs << 2;
  for (let row = 0; row < side; row += 2, x += line) {
    for (let column = 0; column < side; column += 2, x += 2 * pixel, y += wide) {
      for (let c: usize = 0; c < pixel; c += 16) {
        const p = x + c, top = f32x4.max(v128.load(p), v128.load(p + pixel));
        v128.store(y + c, f32x4.max(top, f32x4.max(v128.load(p + line), v128.load(p + line + pixel))));
      }
      memory.fill(y + pixel, 0, wide - pixel);
    }
  }
}

/** A square map at twice its side, bilinear. */
export function upsample(x: usize, side: i32, channels: i32, y: usize): void {
  const pixel = <usize>channels << 2, line = pixel * side;
  for (let row = 0; row < 2 * side; row++) {
    // An output pixel's center lies a quarter of a pixel from the nearer of the two that it mixes.
    const above = max((row - 1) >> 1, 0), below = min((row + 1) >> 1, side - 1);
    const down = f32x4.splat(row & 1 ? 0.25 : 0.75);
    for (let column = 0; column < 2 * side; column++) {
      const left = max((column - 1) >> 1, 0), right = min((column + 1) >> 1, side - 1);
      const along = f32x4.splat(column & 1 ? 0.25 : 0.75);
      const a = x + <usize>above * line + <usize>left * pixel, b = x + <usize>above * line + <usize>right * pixel;
      const c = x + <usize>below * line + <usize>left * pixel, d = x + <usize>below * line + <usize>right * pixel;
      for (let n: usize = 0; n < pixel; n += 16, y += 16) {
        const a0 = v128.load(a + n), c0 = v128.load(c + n);
        const top = f32x4.add(a0, f32x4.mul(along, f32x4.sub(v128.load(b + n), a0)));
        const bottom = f32x4.add(c0, f32x4.mul(along, f32x4.sub(v128.load(d + n), c0)));
        v128.store(y, f32x4.add(top, f32x4.mul(down, f32x4.sub(bottom, top))));
      }
    }
  }
}

/** y = x + add, count a multiple of 4. */
export function sum(x: usize, add: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, add += 16, y += 16) {
    v128.store(y, f32x4.add(v128.load(x), v128.load(add)));
  }
}

/**
 * One row of an image at 1 / `step` of its side: the mean of each step × step pixels, 3 floats, out of RGBA bytes whose
 * rows are `pitch` apart. step: 2, 4, 8 or 16, so that sums fit into 16 bits. One float after the last is written too.
 */
export function shrink(x: usize, pitch: usize, step: i32, y: usize, columns: i32): void {
  const scale = f32x4.splat(1 / (255.0 * <f32>(step * step))), run = <usize>step << 2;
  for (let column = 0; column < columns; column++, x += run, y += 12) {
    let sum = i16x8.splat(0); // two pixels side by side
    for (let row = 0, p = x; row < step; row++, p += pitch) {
      for (let q = p; q < p + run; q += 16) {
        const pixels = step == 2 ? v128.load64_zero(q) : v128.load(q);
        sum = i16x8.add(sum, i16x8.add(i16x8.extend_low_i8x16_u(pixels), i16x8.extend_high_i8x16_u(pixels)));
      }
    }
    const both = i32x4.add(i32x4.extend_low_i16x8_u(sum), i32x4.extend_high_i16x8_u(sum));
    v128.store(y, f32x4.mul(f32x4.convert_i32x4_s(both), scale));
  }
}
