import assert from "node:assert/strict";
import test from "node:test";
import { extended, handInWords, handsInWords } from "../../../handlib/viz/static/live/words.js";

// A flat hand in centimeters, fingers along y; each joint of a finger turns by `bend` about x.
function hand(bends, thumb = [-6, 5]) {
  const joints = [0, 0, 0];
  [0, 1, 2, 3, 4].forEach((finger) => {
    let [x, y, z, angle] = finger ? [2.2 * (finger - 2.5), 9, 0, 0] : [-2, 2, 0, 0];
    const [dx, dy] = finger ? [0, 1] : [thumb[0] / Math.hypot(...thumb), thumb[1] / Math.hypot(...thumb)];
    for (let n = 0; n < 4; n++) {
      joints.push(x, y, z);
      angle += bends[finger];
      const length = 3 - 0.5 * n;
      [x, y, z] = [x + length * dx * Math.cos(angle), y + length * dy * Math.cos(angle), z + length * Math.sin(angle)];
    }
  });
  return joints;
}
const words = (bends, thumb) => handInWords({ side: "right", joints_cam: hand(bends, thumb) });

test("straight fingers are extended, curled ones are not", () => {
  assert.deepEqual(extended(hand([0, 0, 0, 0, 0])), [true, true, true, true, true]);
  assert.deepEqual(extended(hand([1, 1, 1, 1, 1])), [false, false, false, false, false]);
  assert.deepEqual(extended(hand([1, 0.1, 0.1, 1, 1])), [false, true, true, false, false]);
});

test("a straight finger that is folded at its base is not extended", () => {
  const joints = hand([0, 0, 0, 0, 0]);
  for (let j = 6; j <= 8; j++) [joints[3 * j + 1], joints[3 * j + 2]] = [9, joints[3 * j + 1] - 9];
  assert.equal(extended(joints)[1], false);
});

test("a straight thumb along the palm is not extended", () => {
  assert.equal(extended(hand([0, 0, 0, 0, 0], [0, 1]))[0], false);
});

test("sentences name few fingers, or the one that is missing", () => {
  assert.equal(words([1, 0, 0, 1, 1]), "right hand, index and middle finger extended");
  assert.equal(words([0, 1, 1, 1, 1]), "right hand, thumb extended");
  assert.equal(words([0, 0, 1, 1, 1]), "right hand, thumb and index finger extended");
  assert.equal(words([0, 0, 1, 1, 0]), "right hand, thumb, index and little finger extended");
  assert.equal(words([1, 0, 0, 0, 0]), "right hand, all fingers but the thumb extended");
  assert.equal(words([0, 0, 0, 0, 0]), "right hand, all fingers extended");
  assert.equal(words([1, 1, 1, 1, 1]), "right hand, no finger extended");
});

test("a picture is one sentence", () => {
  const right = { side: "right", joints_cam: hand([1, 0, 1, 1, 1]) }, left = { ...right, side: "left" };
  assert.equal(handsInWords([right, left]), "Right hand, index finger extended; left hand, index finger extended.");
  assert.match(handsInWords([]), /^No hand found\. Show/);
});

test("the answer depends on neither unit nor place", () => {
  const joints = hand([1, 0, 0, 1, 1]);
  const moved = joints.map((value, n) => 0.01 * value + [0.1, -0.2, 0.6][n % 3]);
  assert.deepEqual(extended(moved), extended(joints));
});
