import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { setFlagsFromString } from "node:v8";
import { Kernels } from "../../../handlib/viz/static/live/kernels.js";

setFlagsFromString("--experimental-wasm-relaxed-simd"); // which node 20 has only when asked
const [RELAXED, SIMD] = ["relaxed", "simd"].map((name) =>
  readFileSync(new URL(`../../../handlib/viz/static/live/${name}.wasm`, import.meta.url)),
);
const KINDS = { relaxed: [RELAXED], simd: [SIMD], plain: [] };

test("this node has relaxed SIMD, so that all kinds of kernels are tested here", () => {
  assert.ok(WebAssembly.validate(RELAXED));
});

/** Numbers −1 … 1 that only look random. */
const noise = (count) => Float32Array.from({ length: count }, (_, i) => Math.sin(12.9898 * (i + 1) * (1 + (i % 7))));

/** What a kernel of each kind writes: `call(run, pointers, y)` after the inputs were put into memory. */
async function each(inputs, count, call) {
  const results = [];
  for (const [kind, modules] of Object.entries(KINDS)) {
    const kernels = await Kernels.create(modules, true);
    assert.equal(kernels.simd, kind !== "plain");
    const pointers = inputs.map((values) => kernels.put(values));
    const y = kernels.put(new Float32Array(count).fill(99));
    call(kernels.run, pointers, y);
    results.push(Array.from(kernels.floats(y, count)));
  }
  const plain = results.at(-1);
  assert.ok(plain.every(Number.isFinite) && plain.some((value) => value !== 0));
  for (const fast of results)
    plain.forEach((value, i) => assert.ok(Math.abs(value - fast[i]) < 2e-5, `${i}: ${value} and ${fast[i]}`));
  return plain;
}

for (const activation of [0, 1, 2]) {
  for (const [pixels, inputs, outputs] of [
    [49, 24, 16],
    [6, 3, 8],
    [100, 9, 24],
  ]) {
    test(`single pixels: ${pixels} × ${inputs} to ${outputs}, activation ${activation}`, async () => {
      const numbers = [pixels * inputs, inputs * outputs, outputs, outputs, pixels * outputs].map(noise);
      await each(numbers, pixels * outputs, (run, [x, w, bias, slopes, add], y) =>
        run.conv(x, 1, inputs, 0, 4 * inputs, 0, w, bias, slopes, add, y, 1, pixels, outputs, activation),
      );
    });
  }
}

test("a convolution is the sum over its window", async () => {
  const side = 15,
    stride = 2,
    kernel = 3,
    out = 7,
    pixel = 12,
    line = pixel * side;
  const x = noise(side * side * 3),
    w = noise(27 * 8),
    bias = noise(8);
  const y = await each([x, w, bias], out * out * 8, (run, [a, b, c], to) =>
    run.conv(a, kernel, 9, line, stride * pixel, stride * line, b, c, 0, 0, to, out, out, 8, 0),
  );
  for (const [row, column, o] of [
    [0, 0, 0],
    [6, 6, 7],
    [3, 1, 4],
  ]) {
    let sum = bias[o];
    for (let u = 0; u < 3; u++)
      for (let v = 0; v < 9; v++) {
        sum += x[(2 * row + u) * side * 3 + 2 * column * 3 + v] * w[(9 * u + v) * 8 + o];
      }
    assert.ok(Math.abs(sum - y[(row * out + column) * 8 + o]) < 1e-5);
  }
});

for (const [side, kernel, stride] of [
  [7, 5, 1],
  [14, 3, 1],
  [8, 5, 2],
]) {
  test(`depthwise ${kernel} × ${kernel} of ${side}, stride ${stride}`, async () => {
    const before = stride === 1 ? (kernel - 1) / 2 : Math.floor((kernel - stride) / 2),
      after = kernel - stride - before;
    const channels = 8,
      wide = side + before + after,
      out = side / stride,
      numbers = [side * side * channels, kernel * kernel * channels, channels];
    await each(
      [...numbers.map(noise), noise(wide * wide * channels)],
      out * out * channels,
      (run, [x, w, bias, padded], y) => {
        run.pad(x, side, channels, before, after, padded);
        run.depthwise(padded, 4 * wide * channels, w, bias, y, out, out, channels, kernel, stride, 1);
      },
    );
  });
}

test("pool, upsample and sum", async () => {
  const x = noise(36 * 8);
  const pooled = await each([x], 9 * 12, (run, [from], y) => run.pool(from, 6, 8, 12, y));
  assert.ok(
    pooled.every((value, i) => i % 12 < 8 || value === 0),
    "new channels are zero",
  );
  const wide = await each([x], 144 * 8, (run, [from], y) => run.upsample(from, 6, 8, y));
  assert.ok(Math.abs(wide[0] - x[0]) < 1e-6, "a corner stays");
  const sum = await each([x, x], 36 * 8, (run, [a, b], y) => run.sum(a, b, y, 36 * 8));
  assert.ok(sum.every((value, i) => value === 2 * x[i]));
});

for (const step of [2, 4, 16]) {
  test(`an image at 1 / ${step} of its side is means of its bytes`, async () => {
    const columns = 3,
      width = step * columns + 2; // rows may be longer than what is read of them
    const bytes = Uint8Array.from({ length: 4 * width * step }, (_, i) => (i * i * 7) % 256),
      pixels = new Float32Array(bytes.buffer);
    const y = await each([pixels], 3 * columns, (run, [x], to) => run.shrink(x, 4 * width, step, to, columns));
    y.forEach((value, i) => {
      const column = (n) => Math.floor(((n >> 2) % width) / step);
      const own = bytes.filter((_, n) => n % 4 === i % 3 && column(n) === Math.floor(i / 3));
      const mean = own.reduce((sum, byte) => sum + byte / 255, 0) / own.length;
      assert.ok(own.length === step * step && Math.abs(value - mean) < 1e-6, `${i}: ${value} and ${mean}`);
    });
  });
}
