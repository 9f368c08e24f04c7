// The hand estimator of `handlib predict` in JavaScript: a picture to the meshes of its hands, in node or in a worker.
//
// It has no DOM and no library. `Engine.load` reads the one file that handlib/viz/live.py packs: weights, constants and
// the kernels' WebAssembly. Everything after it is synchronous. Frames and units are Python's: camera x right, y down,
// z forward, meters; pixels with the center of the first one at (0.5, 0.5); joints in C21 order; h is a right hand's,
// of a left hand its mirror image's. Arrays are rows one after the other.
//
// The modules of this folder import by name from "./…" and export declarations where they stand, so that a page for
// file:// can join them into one script.

import { LandmarkDetector, PalmDetector } from "./detectors.js";
import { Finder } from "./find.js";
import { HandModel } from "./hand_model.js";
import { Kernels } from "./kernels.js";
import { Lifter } from "./lift.js";
import { readPack } from "./pack.js";
import { Predictor } from "./predict.js";
import { Pyramid } from "./pyramid.js";
import { Regressor } from "./regressor.js";
import { Tracker } from "./track.js";

/**
 * @typedef {{data: Uint8ClampedArray | Uint8Array, width: number, height: number}} Picture
 * RGBA bytes, as ImageData holds them; alpha is not looked at.
 *
 * @typedef {object} EstimateOptions
 * @property {number} [maxHands] 2
 * @property {number[] | number | null} [K] nine numbers row by row, or a focal length in pixels; else assumed
 * @property {number | null} [focal_px] from the file, where it has one; K then still counts as assumed
 * @property {boolean} [refiner] Ref of Eq. 6; false keeps j2D as the network saw it
 * @property {boolean} [features] false: E3D sees F at its mean
 * @property {number} [iterations] of E3D, 3
 * @property {boolean} [points3d] false: the refinement has no term in space
 * @property {number} [refineSteps] Levenberg–Marquardt steps, 10; 0: E3D's answer
 * @property {boolean} [stages] true; false leaves `stages` empty, which saves a few milliseconds a hand
 * @property {(estimate: Estimate) => void} [onFirst] called with the first hand's estimate, before the search goes on;
 * its K is assumed without the others, and of a tracker's frame it is not called
 *
 * @typedef {object} Stage
 * @property {string} name "E3D step 0" …, "refinement start", "refinement step 1" …
 * @property {Float32Array} vertices_cam 2334, meters
 * @property {Float32Array} joints_px 42
 * @property {number | null} energy of Eq. 13; null for E3D's steps
 *
 * @typedef {object} Hand
 * @property {"right" | "left"} side
 * @property {number} score 0 … 1
 * @property {Float32Array} confidence 21, 0 … 1
 * @property {Float64Array} h 63
 * @property {Float32Array} vertices_cam 2334, meters
 * @property {Float32Array} joints_cam 63, meters
 * @property {Float32Array} joints_px 42
 * @property {Float32Array} landmarks_px 42: what the network saw
 * @property {number} presence 0 … 1
 * @property {{center: number[], side: number, angle: number}} crop of the last look, in the picture
 * @property {{rotation: Float64Array, translation: Float64Array}} placement 9 and 3: of the model of h in the camera
 * (of a left hand in the mirrored one), as `HandEstimate.placement`
 * @property {Stage[]} stages
 * @property {number[]} objective the energy of Eq. 13 at the start and after each refinement step
 * @property {number | null} track number of the hand in a video
 *
 * @typedef {object} Estimate
 * @property {Float64Array | null} K nine numbers; null where no hand was found
 * @property {boolean} assumed whether K was
 * @property {Hand[]} hands surest first; of a video in the order of their numbers
 * @property {{detect: number, landmarks: number, e3d: number, refine: number, first: number, total: number}} times
 * milliseconds; detect: the search for palms; landmarks: looks at hands; first: until the first hand's mesh is there,
 * 0 without a hand
 * @property {object | null} tracker what `track` goes on from; leave it alone, and do not post it to another thread
 */

export class Engine {
  /**
   * @param {string | ArrayBuffer} source the packed file, or where to fetch it
   * @param {{simd?: boolean}} [options] simd false: plain JavaScript, as where WebAssembly SIMD cannot be had
   * @returns {Promise<Engine>}
   */
  static async load(source, { simd = true } = {}) {
    const pack = await readPack(source);
    return new Engine(pack, await Kernels.create([pack.arrays.relaxed, pack.arrays.simd], simd));
  }

  /**
   * @param {import("./pack.js").Pack} pack
   * @param {Kernels} kernels
   */
  constructor(pack, kernels) {
    const { constants } = pack.live;
    this.constants = constants;
    this.kernels = kernels;
    /** Whether the WebAssembly kernels run. */
    this.simd = kernels.simd;
    this.hand = new HandModel(pack);
    const landmarks = new LandmarkDetector(kernels, pack),
      palms = new PalmDetector(kernels, pack);
    this.finder = new Finder(palms, landmarks, constants);
    const parts = {
      landmarks,
      regressor: new Regressor(pack, this.hand),
      lifter: new Lifter(pack, this.hand),
      hand: this.hand,
    };
    this.predictor = new Predictor(parts, constants);
  }

  /**
   * The meshes of a picture's hands, surest first.
   * @param {Picture} image
   * @param {EstimateOptions} [options]
   * @returns {Estimate}
   */
  estimate(image, options = {}) {
    const { maxHands = 2, onFirst } = options,
      { finder } = this,
      began = performance.now(),
      searched = finder.searched,
      pyramid = new Pyramid(image, this.kernels);
    /** @type {Map<import("./find.js").Detection, import("./predict.js").Look>} */
    const looks = new Map();
    let first = 0,
      spent = 0; // on the first hand's estimate, while others were to be found
    const timesSince = (/** @type {number} */ from) => {
      const detect = finder.searched - searched;
      return { ...noTimes(), detect, landmarks: performance.now() - from - detect };
    };
    const found = finder.find(pyramid, maxHands, (hand) => {
      if (!onFirst || looks.size) return;
      looks.set(hand, this.look(pyramid, hand));
      const times = timesSince(began),
        looked = performance.now();
      const estimate = this.estimated(pyramid, [...looks.values()], options, times);
      first = performance.now() - began;
      spent = performance.now() - looked;
      onFirst({ ...estimate, times: { ...times, first, total: first }, tracker: null });
    });
    const all = found.map((hand) => looks.get(hand) ?? this.look(pyramid, hand)),
      times = timesSince(began + spent);
    const estimate = this.estimated(pyramid, all, options, times),
      total = performance.now() - began;
    return { ...estimate, times: { ...times, first: all.length ? first || total : 0, total }, tracker: null };
  }

  /**
   * The last look at a hand that was found.
   * @param {Pyramid} pyramid
   * @param {import("./find.js").Detection} hand
   */
  look(pyramid, { points_px, evidence, score, spread }) {
    return { ...this.predictor.lastLook(pyramid, this.finder.around(points_px), evidence.right < 0.5), score, spread };
  }

  /**
   * @param {Pyramid} pyramid
   * @param {import("./predict.js").Look[]} looks
   * @param {EstimateOptions} options
   * @param {Estimate["times"]} times which are added to
   */
  estimated(pyramid, looks, options, times) {
    if (!looks.length) return { K: null, assumed: true, hands: [] };
    const crops = looks.map((look) => look.crop),
      { K, assumed } = this.predictor.camera(pyramid, options, crops);
    const how = { iterations: options.refineSteps ?? this.constants.lift.ITERATIONS },
      own = { stages: true, ...options };
    const hands = looks.map((look) => this.predictor.estimate(look, K, pyramid.width, how, own, times).hand);
    return { K, assumed, hands };
  }

  /**
   * The same of a video's next frame, as handlib/photo/track.py: known hands are looked at where they were.
   * @param {Picture} image
   * @param {Estimate | null} previous the frame before's; null, or a picture of another size, begins anew
   * @param {EstimateOptions} [options] `stages` is false by default; refineSteps is 2
   * @returns {Estimate}
   */
  track(image, previous = null, options = {}) {
    const began = performance.now(),
      times = noTimes(),
      pyramid = new Pyramid(image, this.kernels);
    let tracker = /** @type {Tracker | null} */ (previous?.tracker ?? null);
    if (!tracker || tracker.width !== image.width || tracker.height !== image.height) {
      tracker = new Tracker(this.finder, this.predictor, this.constants, image);
    }
    const hands = tracker.next(pyramid, options, times),
      { K = null, assumed = true } = tracker.camera ?? {};
    times.first = times.total = performance.now() - began;
    return { K, assumed, hands, times, tracker };
  }

  /** Runs everything on an empty picture, so that the browser has compiled it when a photo comes. */
  warmUp(times = 3) {
    const [width, height] = [256, 256],
      data = new Uint8ClampedArray(4 * width * height).fill(127);
    const pyramid = new Pyramid({ data, width, height }, this.kernels),
      crop = { x: 128, y: 128, side: 250, angle: 0.1 };
    for (let n = 0; n < times; n++) {
      const look = this.predictor.lastLook(pyramid, crop, false),
        { K } = this.predictor.camera(pyramid, {}, [crop]);
      this.predictor.estimate(look, K, width, { iterations: this.constants.lift.ITERATIONS }, {}, noTimes());
      for (const size of [1, 2].map((scale) => scale * this.finder.palms.size)) {
        this.finder.palmCrops(pyramid, { name: "whole", crops: [crop], black: true, size, palm: 1 });
      }
    }
  }
}

function noTimes() {
  return { detect: 0, landmarks: 0, e3d: 0, refine: 0, first: 0, total: 0 };
}
