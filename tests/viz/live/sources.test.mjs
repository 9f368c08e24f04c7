import assert from "node:assert/strict";
import test from "node:test";
import { meanDistance } from "../../../handlib/viz/static/live/method.js";
import { cameraSentence, within } from "../../../handlib/viz/static/live/sources.js";

test("each failure of a camera has a sentence that says what to do", () => {
  const named = (name) => cameraSentence(Object.assign(new Error("no"), { name }));
  assert.match(named("NotAllowedError"), /refused\. Allow it/);
  assert.match(named("NotFoundError"), /No camera was found/);
  assert.match(named("NotReadableError"), /in use by another program/);
  assert.match(named("AbortError"), /did not start \(no\)\. Choose a photo/);
  assert.match(cameraSentence("odd"), /odd/);
});

test("a picture is shown within a size, whatever its shape", () => {
  assert.deepEqual(within(4000, 3000, 1600), [1600, 1200]);
  assert.deepEqual(within(300, 200, 1600), [300, 200]);
  assert.deepEqual(within(30000, 3, 1600), [1600, 1]);
});

test("meshes are compared vertex by vertex", () => {
  assert.equal(meanDistance([0, 0, 0, 1, 1, 1], [3, 4, 0, 1, 1, 2]), 3);
});
