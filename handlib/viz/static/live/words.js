// An estimate in words, for those who cannot see the mesh: "right hand, index and middle finger extended".

const FINGERS = ["thumb", "index", "middle", "ring", "little"];
const STRAIGHT = 0.9; // of the way along its joints: what a finger spans from base to tip when it counts as extended
const FORWARD = 0.35; // cosine between palm and finger below which a straight finger is bent at its base
const THUMB_AWAY = 1.1; // palm lengths from the thumb's tip to the base of the little finger, at least, when it is out

/**
 * Which fingers of a hand are extended, thumb to little.
 * @param {ArrayLike<number>} joints 21 × 3, C21 order, any unit
 * @returns {boolean[]}
 */
export function extended(joints) {
  const between = (/** @type {number} */ a, /** @type {number} */ b) =>
    [0, 1, 2].map((c) => joints[3 * b + c] - joints[3 * a + c]);
  const length = (/** @type {number} */ a, /** @type {number} */ b) => Math.hypot(...between(a, b));
  const palm = length(0, 9);
  return FINGERS.map((_, finger) => {
    const base = 4 * finger + 1, tip = base + 3;
    const path = length(base, base + 1) + length(base + 1, base + 2) + length(base + 2, tip);
    if (length(base, tip) < STRAIGHT * path) return false;
    if (finger === 0) return length(tip, 17) > THUMB_AWAY * palm;
    const [forward, out] = [between(0, base), between(base, tip)];
    const dot = forward.reduce((sum, value, c) => sum + value * out[c], 0);
    return dot > FORWARD * Math.hypot(...forward) * Math.hypot(...out);
  });
}

/**
 * A hand in words.
 * @param {{side: string, joints_cam: ArrayLike<number>}} hand
 */
export function handInWords(hand) {
  const out = extended(hand.joints_cam);
  const names = FINGERS.filter((_, finger) => out[finger]);
  if (names.length === 5) return `${hand.side} hand, all fingers extended`;
  if (!names.length) return `${hand.side} hand, no finger extended`;
  if (names.length === 4) return `${hand.side} hand, all fingers but the ${FINGERS[out.indexOf(false)]} extended`;
  const last = names[names.length - 1], listed = listing(names);
  return `${hand.side} hand, ${last === "thumb" ? listed : `${listed} finger`} extended`;
}

/**
 * All hands of a picture in a sentence.
 * @param {{side: string, joints_cam: ArrayLike<number>}[]} hands
 */
export function handsInWords(hands) {
  if (!hands.length) return "No hand found. Show the whole hand, with the palm or the back of it to the camera, in good light.";
  const text = hands.map(handInWords).join("; ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** @param {string[]} names */
function listing(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}
