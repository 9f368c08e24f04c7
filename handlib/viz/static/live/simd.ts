// The networks' inner loops in AssemblyScript, for WebAssembly SIMD; kernels.js has the same in plain JavaScript.
//
// Maps are channel-last, [row][column][channel], channels a multiple of 4, of convolutions' outputs of 8. Pointers and
// strides are bytes. tests/photo/test_live.py has the command that makes simd.wasm.

const LINEAR = 0, RELU6 = 1, PRELU = 2; // activations; `slopes` are PReLU's
const BLOCK = 48; // pixels whose inputs stay in the cache while all their outputs are made
const TILE = 6; // pixels at once; with 8 channels each their 12 sums fill the registers

// @ts-ignore: decorator
@inline function madd(a: v128, b: v128, sum: v128): v128 {
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
          let a0 = b0, a1 = b1, c0 = b0, c1 = b1, d0 = b0, d1 = b1; // sums of six pixels
          let e0 = b0, e1 = b1, f0 = b0, f1 = b1, g0 = b0, g1 = b1;
          for (let l = 0; l < lines; l++, p += pitch - line) {
            const stop = p + line;
            for (; p + 4 < stop; p += 8, q += 64) { // two inputs at once, so that addresses are made half as often
              const pc = p + step, pd = pc + step, pe = pd + step, pf = pe + step, pg = pf + step;
              let w0 = v128.load(q), w1 = v128.load(q, 16), v = v128.load32_splat(p);
              a0 = madd(v, w0, a0); a1 = madd(v, w1, a1); v = v128.load32_splat(pc);
              c0 = madd(v, w0, c0); c1 = madd(v, w1, c1); v = v128.load32_splat(pd);
              d0 = madd(v, w0, d0); d1 = madd(v, w1, d1); v = v128.load32_splat(pe);
              e0 = madd(v, w0, e0); e1 = madd(v, w1, e1); v = v128.load32_splat(pf);
              f0 = madd(v, w0, f0); f1 = madd(v, w1, f1); v = v128.load32_splat(pg);
              g0 = madd(v, w0, g0); g1 = madd(v, w1, g1);
              w0 = v128.load(q, 32); w1 = v128.load(q, 48); v = v128.load32_splat(p, 4);
              a0 = madd(v, w0, a0); a1 = madd(v, w1, a1); v = v128.load32_splat(pc, 4);
              c0 = madd(v, w0, c0); c1 = madd(v, w1, c1); v = v128.load32_splat(pd, 4);
              d0 = madd(v, w0, d0); d1 = madd(v, w1, d1); v = v128.load32_splat(pe, 4);
              e0 = madd(v, w0, e0); e1 = madd(v, w1, e1); v = v128.load32_splat(pf, 4);
              f0 = madd(v, w0, f0); f1 = madd(v, w1, f1); v = v128.load32_splat(pg, 4);
              g0 = madd(v, w0, g0); g1 = madd(v, w1, g1);
            }
            if (p < stop) { // an odd run's last
              const w0 = v128.load(q), w1 = v128.load(q, 16);
              let t = p, v = v128.load32_splat(t);
              a0 = madd(v, w0, a0); a1 = madd(v, w1, a1); t += step; v = v128.load32_splat(t);
              c0 = madd(v, w0, c0); c1 = madd(v, w1, c1); t += step; v = v128.load32_splat(t);
              d0 = madd(v, w0, d0); d1 = madd(v, w1, d1); t += step; v = v128.load32_splat(t);
              e0 = madd(v, w0, e0); e1 = madd(v, w1, e1); t += step; v = v128.load32_splat(t);
              f0 = madd(v, w0, f0); f1 = madd(v, w1, f1); t += step; v = v128.load32_splat(t);
              g0 = madd(v, w0, g0); g1 = madd(v, w1, g1);
              p += 4; q += 32;
            }
          }
          const at = <usize>(row * columns + first) * pixel + own;
          let to = y + at, from = add ? add + at : 0;
          const next = add ? pixel : 0;
          store(a0, a1, to, from, activation, s0, s1); to += pixel; from += next;
          store(c0, c1, to, from, activation, s0, s1); to += pixel; from += next;
          store(d0, d1, to, from, activation, s0, s1); to += pixel; from += next;
          store(e0, e1, to, from, activation, s0, s1); to += pixel; from += next;
          store(f0, f1, to, from, activation, s0, s1); to += pixel; from += next;
          store(g0, g1, to, from, activation, s0, s1);
        }
      }
    }
  }
}

/** A filter of its own for each channel. x is padded, its rows `pitch` apart; w: [kernel²][channels]. columns ≥ 4. */
export function depthwise(x: usize, pitch: usize, w: usize, bias: usize, y: usize, rows: i32, columns: i32,
                          channels: i32, kernel: i32, stride: i32, activation: i32): void {
  const pixel = <usize>channels << 2, step = pixel * stride;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += 4) {
      const first = min(column, columns - 4);
      const from = x + <usize>(row * stride) * pitch + <usize>first * step;
      const to = y + <usize>(row * columns + first) * pixel;
      for (let c: usize = 0; c < pixel; c += 16) {
        let a = v128.load(bias + c), b = a, d = a, e = a, q = w + c;
        for (let u = 0; u < kernel; u++) {
          let p = from + c + <usize>u * pitch;
          for (let v = 0; v < kernel; v++, p += pixel, q += pixel) {
            const weight = v128.load(q);
            a = madd(v128.load(p), weight, a);
            b = madd(v128.load(p + step), weight, b);
            d = madd(v128.load(p + 2 * step), weight, d);
            e = madd(v128.load(p + 3 * step), weight, e);
          }
        }
        const out = to + c, none = f32x4.splat(0);
        v128.store(out, activate(a, activation, none));
        v128.store(out + pixel, activate(b, activation, none));
        v128.store(out + 2 * pixel, activate(d, activation, none));
        v128.store(out + 3 * pixel, activate(e, activation, none));
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
