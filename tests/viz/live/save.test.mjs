import assert from "node:assert/strict";
import test from "node:test";
import { normals, lookingAt, photographed } from "../../../handlib/viz/static/live/mesh_view.js";
import { toGlb, toObj, upright } from "../../../handlib/viz/static/live/save.js";
import { turned } from "../../../handlib/viz/static/live/turn_view.js";

const near = (a, b, within = 1e-6) => assert.ok(Math.abs(a - b) <= within, `${a} is not ${b}`);
const triangle = () => ({
  vertices: Float32Array.of(0, 0, 0, 1, 0, 0, 0, 1, 0), faces: Uint16Array.of(0, 1, 2),
  colors: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 128), name: "right hand",
});

function clip({ matrix: m }, [x, y, z]) {
  const row = (r) => m[r] * x + m[4 + r] * y + m[8 + r] * z + m[12 + r];
  return [0, 1, 2].map((r) => row(r) / row(3));
}

test("a mesh is drawn where the photograph's camera sees it", () => {
  const K = [500, 3, 320, 0, 510, 250, 0, 0, 1], point = [0.05, -0.08, 0.4];
  const [x, y, z] = clip(photographed(K, 640, 480), point);
  near(((x + 1) / 2) * 640, (500 * point[0] + 3 * point[1]) / point[2] + 320, 1e-3);
  near(((1 - y) / 2) * 480, (510 * point[1]) / point[2] + 250, 1e-3);
  assert.ok(z > -1 && z < 1 && z < clip(photographed(K, 640, 480), [0.05, -0.08, 0.5])[2]);
});

test("a turned view looks at the middle, up is up, and near hides far", () => {
  const eye = { x: 0, y: 0, z: 1.2 }, view = lookingAt(eye, [0.1, 0.2, 0.3], 0.1, 1.5);
  const [x, y] = clip(view, [0.1, 0.2, 0.3]);
  near(x, 0, 1e-5);
  near(y, 0, 1e-5);
  assert.ok(clip(view, [0.1, 0.25, 0.3])[1] > 0.1 && clip(view, [0.15, 0.2, 0.3])[0] > 0.1);
  assert.ok(clip(view, [0.1, 0.2, 0.35])[2] < clip(view, [0.1, 0.2, 0.25])[2]);
  const side = lookingAt(turned(eye, Math.PI / 2, 0), [0, 0, 0], 0.1, 1);
  near(side.look[0], -1);
  assert.ok(clip(side, [0, 0, -0.05])[0] > 0.1); // from +x, −z is at the right
  assert.ok(turned(eye, 0, 9).y < 1.2, "never over the pole");
});

test("normals point out of a counterclockwise triangle", () => {
  assert.deepEqual([...normals(triangle().vertices, triangle().faces)], [0, 0, 1, 0, 0, 1, 0, 0, 1]);
});

test("OBJ counts vertices on from hand to hand", () => {
  const lines = toObj([triangle(), { ...triangle(), name: "left hand" }]).trim().split("\n");
  assert.deepEqual(lines.filter((line) => line[0] === "f"), ["f 1 2 3", "f 4 5 6"]);
  assert.equal(lines[1], "o right_hand");
  assert.equal(lines[3], "v 1.0000000 0.0000000 0.0000000 0.0000 1.0000 0.0000");
});

test("GLB's parts have the lengths that it says", () => {
  const file = toGlb([triangle()]), view = new DataView(file.buffer);
  assert.equal(view.getUint32(0, true), 0x46546c67);
  assert.equal(view.getUint32(8, true), file.length);
  const length = view.getUint32(12, true);
  const described = JSON.parse(new TextDecoder().decode(file.subarray(20, 20 + length)));
  assert.equal(view.getUint32(20 + length, true), described.buffers[0].byteLength);
  for (const { byteOffset, byteLength } of described.bufferViews) assert.ok(byteOffset % 4 === 0 && byteOffset + byteLength <= described.buffers[0].byteLength);
  assert.deepEqual(described.accessors[0].max, [1, 1, 0]);
});

test("files have y up", () => {
  assert.deepEqual([...upright([1, 2, 3])], [1, -2, -3]);
});
