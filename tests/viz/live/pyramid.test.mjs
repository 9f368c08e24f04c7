import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { cropAroundPoints, cropToPx, mirroredCrop } from "../../../handlib/viz/static/live/crops.js";
import { Kernels } from "../../../handlib/viz/static/live/kernels.js";
import { Pyramid } from "../../../handlib/viz/static/live/pyramid.js";

const SIMD = readFileSync(new URL("../../../handlib/viz/static/live/simd.wasm", import.meta.url));
const kernels = await Kernels.create([SIMD], true);

const picture = (width, height) => ({
  width,
  height,
  data: Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => 127 + 127 * Math.sin(i * i)),
});

/** A level by means of means, the slow way. */
function halvings(image, times) {
  let { width, height } = image,
    rows = Float64Array.from(
      { length: 3 * width * height },
      (_, i) => image.data[4 * Math.floor(i / 3) + (i % 3)] / 255,
    );
  for (let n = 0; n < times; n++) {
    const wide = Math.ceil(width / 2),
      high = Math.ceil(height / 2);
    rows = Float64Array.from({ length: 3 * wide * high }, (_, i) => {
      const x = 2 * (Math.floor(i / 3) % wide),
        y = 2 * Math.floor(i / 3 / wide);
      const own = [
        [x, y],
        [x + 1, y],
        [x, y + 1],
        [x + 1, y + 1],
      ].filter(([u, v]) => u < width && v < height);
      return own.reduce((sum, [u, v]) => sum + rows[3 * (v * width + u) + (i % 3)] / own.length, 0);
    });
    [width, height] = [wide, high];
  }
  return { width, rows };
}

for (const [number, crop] of [
  [1, { x: 60, y: 40, side: 20, angle: 0.3 }],
  [2, { x: 90, y: 80, side: 30, angle: 1 }],
  [3, { x: 50, y: 50, side: 200, angle: 0 }],
]) {
  test(`level ${number} is means of means, whole or in part`, () => {
    const image = picture(101, 87),
      level = new Pyramid(image, kernels).level(number, crop),
      { width, rows } = halvings(image, number);
    for (let i = 0; i < level.data.length; i++) {
      const pixel = Math.floor(i / 3),
        x = level.left + (pixel % level.width),
        y = level.top + Math.floor(pixel / level.width);
      assert.ok(Math.abs(level.data[i] - rows[3 * (y * width + x) + (i % 3)]) < 1e-6);
    }
  });
}

test("what is beyond the image is its rim, or black; a mirrored crop is the crop's mirror image", () => {
  const image = picture(40, 30),
    size = 8,
    samples = [
      [false, false],
      [true, false],
      [false, true],
    ].map(([black, mirrored]) => {
      const target = { floats: new Float32Array(size * size * 3), first: 0, pitch: 3 * size };
      new Pyramid(image, kernels).sample({ x: 0, y: 15, side: 8, angle: 0 }, size, target, black, mirrored);
      return target.floats;
    });
  const [rim, black, mirrored] = samples;
  assert.equal(black[0], 0);
  assert.ok(Math.abs(rim[0] - rim[6]) < 1e-6 && rim[0] > 0, "pixels left of the image are alike");
  for (let i = 0; i < rim.length; i += 3)
    assert.equal(rim[i], mirrored[i - (i % (3 * size)) + 3 * (size - 1) - (i % (3 * size))]);
});

test("the crop of a hand's mirror image is the mirror image of its crop", () => {
  const constants = { HAND_SCALE: 2, HAND_SHIFT: 0.1, INNER: [0, 1, 2], WRIST: 0, PIP: [1, 2, 1] };
  const points = [50, 90, 40, 40, 70, 50],
    width = 100;
  const own = cropAroundPoints(points, constants),
    other = cropAroundPoints(
      points.map((v, i) => (i % 2 ? v : width - v)),
      constants,
    );
  const mirrored = mirroredCrop(other, width);
  for (const name of ["x", "y", "side"]) assert.ok(Math.abs(own[name] - mirrored[name]) < 1e-9);
  assert.ok(Math.abs(Math.sin(own.angle - mirrored.angle)) < 1e-9);
  const [x, y] = cropToPx(own, [0, 0]);
  assert.ok(Math.abs(x - own.x) + Math.abs(y - own.y) < 1e-9);
});
