// Hosts the engine in a thread of its own, so that the page goes on answering while a hand is estimated.
//
// In: {id, kind, …}. Out: {id, result} or {id, error}; pictures that came in go back with the result. Of a photo, also
// {id, first}: the first hand's estimate, while others are looked for.
//   load   {pack: base64}                          → {simd}
//   photo  {picture, options}                      → {estimate}; the picture's pixels are kept for `again`
//   again  {options}                               → {estimate}
//   frame  {picture, options, first}               → {estimate, picture}; first: nothing is known of frames before

import { Engine } from "./engine.js";

/** @typedef {import("./engine.js").Estimate} Estimate */
/** @typedef {import("./engine.js").Picture} Picture */

const GRAY = "#808080"; // behind a transparent picture, as in Python

/** @type {Engine} */
let engine;
/** @type {Picture} */
let photo;
/** @type {Estimate | null} */
let before = null;
let size = "";
/** @type {OffscreenCanvas | null} */
let surface = null;

/** @type {Record<string, (message: any) => any>} */
const ANSWERS = {
  async load({ pack, simd = true }) {
    engine = await Engine.load(bytesOf(pack), { simd });
    engine.warmUp();
    const { hand } = engine;
    const { colors, jointNames } = hand;
    return { simd: engine.simd, hand: { right: hand.facesOf("right"), left: hand.facesOf("left"), colors, jointNames } };
  },
  photo({ id, picture, options }) {
    photo = pixelsOf(picture);
    if (picture instanceof ImageBitmap) picture.close(); // up to 67 MB, which a phone has not twice
    const onFirst = (/** @type {Estimate} */ first) => self.postMessage({ id, first: sendable(first) });
    return this.again({ options: { ...options, onFirst } });
  },
  again: ({ options }) => ({ estimate: sendable(engine.estimate(photo, options)) }),
  frame({ picture, options, first }) {
    const image = pixelsOf(picture), now = `${image.width}×${image.height}`;
    if (first || now !== size) before = null; // the phone was turned
    size = now;
    before = engine.track(image, before, options);
    return { estimate: sendable(before), picture };
  },
};

self.onmessage = async ({ data }) => {
  try {
    const result = await ANSWERS[data.kind](data);
    self.postMessage({ id: data.id, result }, { transfer: result.picture instanceof ImageBitmap ? [result.picture] : [] });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error instanceof Error ? error.message : error) });
  }
};

/** @param {Estimate} estimate */
const sendable = (estimate) => ({ ...estimate, tracker: null }); // its networks' memory stays here

/**
 * RGBA of a picture; a page without OffscreenCanvas sends pixels.
 * @param {ImageBitmap | ImageData} picture
 * @returns {Picture}
 */
function pixelsOf(picture) {
  if (picture instanceof ImageData) return picture;
  const { width, height } = picture;
  if (!surface || surface.width !== width || surface.height !== height) surface = new OffscreenCanvas(width, height);
  const pen = surface.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("this browser's worker has no canvas");
  pen.fillStyle = GRAY;
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0);
  return pen.getImageData(0, 0, width, height);
}

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes.buffer;
}
