// The hand estimator of `handlib predict` in JavaScript: a picture to the meshes of its hands, in node or in a worker.
//
// It has no DOM and no library. `Engine.load` reads the one file that handlib/viz/live.py packs: weights, constants and
// the kernels' WebAssembly. Everything after it is synchronous. Frames and units are Python's: camera x right, y down,
// z forward, meters; pixels with the center of the first one at (0.5, 0.5); joints in C21 order; h is a right hand's,
// of a left hand its mirror image's. Arrays are rows one after the other.
//
// The modules of this folder import by name from "./…", export declarations where they stand, and share no top-level
// names, so that a page for file:// can join them into one script (live.py does).

/**
 * @typedef {{data: Uint8ClampedArray | Uint8Array, width: number, height: number}} Picture
 * RGBA bytes, as ImageData holds them; alpha is not looked at.
 *
 * @typedef {object} FoundHand
 * @property {number} score that the points are right, 0 … 1
 * @property {number} presence as the network sees it, 0 … 1
 * @property {"right" | "left"} side
 * @property {Float64Array} points_px 42: the landmarks
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
 * @property {(step: {hand: number, stage: Stage}) => void} [onStep] called as each stage is reached
 * @property {(hand: FoundHand) => void} [onFound] called when a hand is found, before the search for others goes on
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
 * @property {{detect: number, landmarks: number, e3d: number, refine: number, total: number}} times milliseconds
 * @property {object | null} tracker what `track` goes on from; leave it alone, and do not post it to another thread
 */

export class Engine {
  /**
   * @param {string | ArrayBuffer} source the packed file, or where to fetch it
   * @param {{simd?: boolean}} [options] simd false: plain JavaScript, as where WebAssembly SIMD cannot be had
   * @returns {Promise<Engine>}
   */
  static async load(source, { simd = true } = {}) {
    throw new Error("not yet built");
  }

  constructor() {
    /** Whether the WebAssembly kernels run. */
    this.simd = false;
    /** The hand model; see hand.js. `faces` 1538 × 3, of a left hand `facesOf("left")`. */
    this.hand = null;
  }

  /**
   * The hands of a picture, surest first.
   * @param {Picture} image
   * @param {{maxHands?: number, onFound?: (hand: FoundHand) => void}} [options]
   * @returns {FoundHand[]}
   */
  find(image, options = {}) {
    throw new Error("not yet built");
  }

  /**
   * The meshes of a picture's hands.
   * @param {Picture} image
   * @param {EstimateOptions} [options]
   * @returns {Estimate}
   */
  estimate(image, options = {}) {
    throw new Error("not yet built");
  }

  /**
   * The same of a video's next frame, as handlib/photo/track.py: known hands are looked at where they were.
   * @param {Picture} image
   * @param {Estimate | null} previous the frame before's; null begins anew
   * @param {EstimateOptions} [options] `stages` is false by default; refineSteps is 2
   * @returns {Estimate}
   */
  track(image, previous = null, options = {}) {
    throw new Error("not yet built");
  }
}

/**
 * The hand model in the page, `engine.hand`.
 * @typedef {object} HandModel
 * @property {Uint16Array} faces 1538 × 3 rows of vertices, of a right hand
 * @property {Uint8Array} colors 778 × 3 RGB bytes
 * @property {string[]} jointNames 21
 * @property {(side: "right" | "left") => Uint16Array} facesOf a mirror turns triangles inside out
 * @property {(h: ArrayLike<number>) => Float32Array} vertices meters, in the model's own frame
 * @property {(vertices: ArrayLike<number>) => Float32Array} regress 63: joints of a mesh
 * @property {(h: ArrayLike<number>) => Float64Array} angles 15 × (twist, flexion, abduction) in radians; rows: index,
 * middle, little, ring, thumb, each base to tip (MANO's order)
 */
