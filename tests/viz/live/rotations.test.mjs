import assert from "node:assert/strict";
import test from "node:test";
import * as rotations from "../../../handlib/viz/static/live/rotations.js";

const near = (a, b, within = 1e-9) =>
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < within, `${a} and ${b}`));
const VECTORS = [
  [0, 0, 0],
  [1e-7, 0, 2e-7],
  [0.3, -0.8, 0.5],
  [0, 3.1, 0],
  [-2.2, 0, 2.2],
  [Math.PI - 1e-4, 0, 0],
];

test("vector, matrix and quaternion are one rotation", () => {
  for (const vector of VECTORS) {
    const matrix = rotations.rotationOfVector(...vector),
      quaternion = rotations.quaternionOfRotation(matrix);
    near(rotations.vectorOfRotation(matrix), vector, 1e-7);
    near(rotations.rotationOfQuaternion(quaternion), matrix);
    near(rotations.matrixProduct(matrix, rotations.transposedMatrix(matrix)), [1, 0, 0, 0, 1, 0, 0, 0, 1]);
    assert.ok(quaternion[0] >= 0);
  }
});

test("the nearest rotation and its trace", () => {
  const turn = rotations.rotationOfVector(0.4, 1.2, -0.6),
    other = rotations.rotationOfVector(-1, 0.2, 2);
  for (const [stretch, trace] of [
    [[3, 2, 1], 6],
    [[3, 2, -1], 4],
    [[3, 2, 0], 5],
  ]) {
    // turn · other · diag · otherᵀ, whose nearest rotation is the turn.
    const scaled = rotations.matrixProduct(other, [stretch[0], 0, 0, 0, stretch[1], 0, 0, 0, stretch[2]]);
    const matrix = rotations.matrixProduct(turn, rotations.matrixProduct(scaled, rotations.transposedMatrix(other)));
    near(rotations.nearestRotation(matrix), turn);
    assert.ok(Math.abs(rotations.nearestTrace(matrix) - trace) < 1e-6);
  }
});

test("rotation vectors, also of half turns", () => {
  for (const vector of [[0.3, -0.2, 0.1], [0, 0, 0], [3.1, 0.2, -0.3], [0, Math.PI, 0], [-1.2, 2.3, 1.1]]) {
    const angle = Math.hypot(...vector), [x, y, z] = vector.map((v) => v / (angle || 1));
    const [s, c, d] = [Math.sin(angle), Math.cos(angle), 1 - Math.cos(angle)];
    const R = [c + d * x * x, d * x * y - s * z, d * x * z + s * y, d * y * x + s * z, c + d * y * y, d * y * z - s * x,
      d * z * x - s * y, d * z * y + s * x, c + d * z * z];
    near(rotations.vectorOfRotation(R), vector, 1e-6);
  }
});
