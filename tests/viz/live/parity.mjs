// node parity.mjs PACK FOLDER [plain]: how far the engine is from what Python wrote (tests/live_pictures.py), as JSON.

import { readFileSync, readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Engine } from "../../../handlib/viz/static/live/engine.js";
import { movedState, Posterior } from "../../../handlib/viz/static/live/posterior.js";
import { normalEquations } from "../../../handlib/viz/static/live/normal_equations.js";

setFlagsFromString("--experimental-wasm-relaxed-simd"); // which node 20 has only when asked
const [pack, folder, kind] = process.argv.slice(2);
const bytes = readFileSync(pack);
const engine = await Engine.load(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), {
  simd: kind !== "plain",
});
const read = (name, { width, height }) => ({
  data: new Uint8ClampedArray(readFileSync(`${folder}/${name}.rgba`)),
  width,
  height,
});
const off = (a, b) =>
  a.length === b.length ? a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0) : Infinity;

/** Largest differences of hands from Python's; null where sides or numbers are others. */
function compared(hands, golden, estimate) {
  if (hands.length !== golden.length) return null;
  const worst = { h: 0, vertices_mm: 0, joints_px: 0, score: 0, confidence: 0, placement: 0, K: 0 };
  for (const [i, hand] of hands.entries()) {
    const own = golden[i];
    if (hand.side !== own.side || hand.track !== own.track || estimate.assumed !== own.assumed) return null;
    const found = {
      h: off(hand.h, own.h),
      vertices_mm: 1000 * off(hand.vertices_cam, own.vertices_cam),
      joints_px: off(hand.joints_px, own.joints_px),
      score: Math.abs(hand.score - own.score),
      confidence: off(hand.confidence, own.confidence),
      placement: Math.max(off(hand.placement.rotation, own.rotation), off(hand.placement.translation, own.translation)),
      K: off(estimate.K, own.K),
    };
    for (const name of Object.keys(found)) worst[name] = Math.max(worst[name], found[name]);
  }
  return worst;
}

/** Largest difference of the energy's gradient from that of its differences, over the gradient's length. */
function gradientError() {
  const { lifter, constants } = Object.assign({ constants: engine.constants }, engine.predictor);
  const points_3d = lifter.samples[5].space,
    K = [700, 2, 300, 0, 690, 260, 0, 0, 1];
  const points_px = Float64Array.from(
    { length: 42 },
    (_, i) => 250 + 900 * points_3d[(i >> 1) * 3 + (i % 2)] + 3 * Math.sin(i),
  );
  const seen = { points_px, weight: lifter.weight, K, points_3d, before: null, beta: new Float64Array(10).fill(0.3) };
  const posterior = new Posterior(lifter.anatomy, seen, constants.lift.NOISE, constants.posterior),
    { size } = posterior;
  const state = movedState(
    lifter.start(posterior, points_3d),
    Float64Array.from({ length: size }, (_, i) => 0.2 * Math.cos(i)),
  );
  const { slope } = normalEquations(posterior, state),
    step = 1e-5;
  const energy = (i, by) =>
    posterior.energy(
      movedState(
        state,
        Float64Array.from({ length: size }, (_, n) => (n === i ? by : 0)),
      ),
    );
  const differences = slope.map((_, i) => (energy(i, step) - energy(i, -step)) / (2 * step));
  return off(slope, differences) / Math.hypot(...differences);
}

/** What the page's switches do to a picture's first hand: how far its mesh moves, and whether its energy only falls. */
function switches(image) {
  const settings = { refiner: false, features: false, iterations: 1, points3d: false, refineSteps: 0, K: 900 };
  const [usual] = engine.estimate(image, { maxHands: 1 }).hands;
  const named = Object.entries(settings).map(([name, value]) => {
    const {
      hands: [hand],
      K,
      assumed,
    } = engine.estimate(image, { maxHands: 1, [name]: value });
    const falls = hand.objective.every((energy, n) => n === 0 || energy <= hand.objective[n - 1]);
    const told = hand.stages.length === 1 + (name === "iterations" ? 1 : 3) + hand.objective.length;
    return [name, { moves_mm: 1000 * off(hand.vertices_cam, usual.vertices_cam), falls, told, assumed, focal: K[0] }];
  });
  return Object.fromEntries(named);
}

const results = { simd: engine.simd, gradient: gradientError(), pictures: {}, video: [] };
for (const name of readdirSync(folder)
  .filter((file) => file.endsWith(".json"))
  .map((file) => file.slice(0, -5))) {
  const golden = JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));
  if (golden.hands) {
    const estimate = engine.estimate(read(name, golden));
    results.pictures[name] = compared(estimate.hands, golden.hands, estimate);
    if (name === "left") results.switches = switches(read(name, golden));
  } else {
    let previous = null;
    for (const [n, hands] of golden.frames.entries()) {
      previous = engine.track(read(`${name}-${n}`, golden), previous);
      results.video.push(compared(previous.hands, hands, previous));
    }
  }
}
console.log(JSON.stringify(results));
