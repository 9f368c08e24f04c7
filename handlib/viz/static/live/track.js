// The hands of a video, from frame to frame, as handlib/photo/track.py: each keeps its number, its side, its shape and
// its camera.

import { mirroredPx } from "./predict.js";
import { movedState, stepBetween } from "./posterior.js";

/**
 * @typedef {import("./crops.js").Crop} Crop
 * @typedef {import("./find.js").Detection} Detection
 * @typedef {import("./posterior.js").FitState} FitState
 * @typedef {import("./predict.js").Look} Look
 * @typedef {import("./pyramid.js").Pyramid} Pyramid
 */

class Track {
  /**
   * @param {number} number
   * @param {Float64Array} points_px where it was last
   * @param {number} votes more than 0: a right hand
   */
  constructor(number, points_px, votes) {
    this.number = number;
    this.points_px = points_px;
    this.votes = votes;
    this.side = "";
    /** @type {Look | null} what this frame shows of it; null: it is not there */
    this.seen = null;
    /** @type {FitState | null} */
    this.state = null;
    /** @type {Float64Array | null} from the state before it */
    this.step = null;
    this.frames = 0; // in which it was estimated
    this.missed = 0; // frames since it was seen
    this.far = false; // from where it was looked for
  }

  get voted() {
    return this.votes < 0 ? "left" : "right";
  }

  /** Whether the crop of this frame's look was off the hand, or its mirror image. */
  get unsettled() {
    return this.seen !== null && (this.far || this.voted !== this.side);
  }

  /** Settles for this frame which hand it is: a state is of one side. */
  beginLook() {
    if (this.side !== this.voted) Object.assign(this, { side: this.voted, state: null, step: null, frames: 0 });
  }

  /**
   * To where a search has found the hand again.
   * @param {Float64Array} points_px
   */
  move(points_px) {
    Object.assign(this, { points_px, state: null, step: null });
  }

  /**
   * @param {FitState} state
   * @param {boolean} afresh
   */
  fitted(state, afresh) {
    if (this.state && afresh) state = { ...state, beta: this.state.beta }; // which has more frames behind it
    this.step = null;
    if (this.state && !afresh) {
      this.step = stepBetween(this.state, state);
      this.step.fill(0, this.step.length - 16, this.step.length - 6); // β
    }
    this.state = state;
  }
}

export class Tracker {
  /**
   * @param {import("./find.js").Finder} finder
   * @param {import("./predict.js").Predictor} predictor
   * @param {any} constants
   * @param {{width: number, height: number}} size of all frames
   */
  constructor(finder, predictor, constants, { width, height }) {
    this.finder = finder;
    this.predictor = predictor;
    this.constants = constants;
    this.width = width;
    this.height = height;
    /** @type {{K: Float64Array, assumed: boolean} | null} once a hand was seen */
    this.camera = null;
    /** @type {Track[]} */
    this.tracks = [];
    this.frame = -1;
    this.begun = 0; // tracks so far
  }

  /**
   * The hands of the next frame, in the order of their numbers.
   * @param {Pyramid} image
   * @param {import("./engine.js").EstimateOptions} options
   * @param {import("./engine.js").Estimate["times"]} times which are added to
   * @returns {import("./engine.js").Hand[]}
   */
  next(image, options, times) {
    this.frame += 1;
    const began = performance.now(),
      { searched } = this.finder;
    this.look(image, this.tracks);
    this.tracks = this.apart().filter((track) => track.missed < this.constants.track.PATIENCE);
    this.look(image, this.search(image, options.maxHands ?? 2));
    this.tracks = this.apart();
    times.detect += this.finder.searched - searched;
    times.landmarks += performance.now() - began - times.detect;
    return this.estimates(
      image,
      this.tracks.filter((track) => track.seen),
      options,
      times,
    );
  }

  /**
   * Looks at each hand through the crop around its last points; again where that crop was not the right one.
   * @param {Pyramid} image
   * @param {Track[]} tracks
   */
  look(image, tracks, again = true) {
    const { PRESENT } = this.constants.find,
      { MOST_VOTES } = this.constants.track;
    for (const track of tracks) {
      track.beginLook();
      const left = track.side === "left",
        look = this.predictor.lastLook(image, this.finder.around(track.points_px), left);
      if (look.evidence.presence < PRESENT) {
        Object.assign(track, { seen: null, step: null, missed: track.missed + 1 });
        continue;
      }
      const points_px = mirroredPx(look.points_px, left, image.width),
        { right } = look.evidence;
      track.far = !this.finder.samePoints(points_px, track.points_px);
      const vote = (left ? 1 - right : right) - 0.5,
        votes = Math.min(Math.max(track.votes + 2 * vote, -MOST_VOTES), MOST_VOTES);
      Object.assign(track, { seen: look, points_px, missed: 0, votes });
    }
    const unsettled = again ? tracks.filter((track) => track.unsettled) : [];
    if (unsettled.length) this.look(image, unsettled, false);
  }

  /**
   * Tracks of hands that were found where none was looked for: lost ones first, then new ones.
   * @param {Pyramid} image
   * @param {number} most
   */
  search(image, most) {
    let lost = this.tracks.filter((track) => !track.seen);
    const moved = /** @type {Track[]} */ ([]);
    if (this.tracks.length - lost.length >= most) return moved;
    if (this.tracks.length && !lost.length && this.frame % this.constants.track.SEARCH_EVERY) return moved;
    for (const hand of this.found(image, most)) {
      const { points_px } = hand;
      if (this.tracks.some((track) => track.seen && this.finder.samePoints(points_px, track.points_px))) continue;
      /** @type {(track: Track) => number} */
      const distance = (track) => Math.hypot(...track.points_px.map((value, i) => value - points_px[i]));
      let track = lost.length ? lost.reduce((near, other) => (distance(other) < distance(near) ? other : near)) : null;
      if (track) {
        lost = lost.filter((other) => other !== track);
        track.move(points_px);
      } else if (this.tracks.length < most) {
        track = new Track(this.begun++, points_px, 2 * hand.evidence.right - 1);
        this.tracks.push(track);
      } else break;
      moved.push(track);
    }
    return moved;
  }

  /**
   * @param {Pyramid} image
   * @param {number} most
   */
  found(image, most) {
    const { finder, constants } = this;
    if (!this.tracks.length && this.frame % constants.track.THOROUGH_EVERY === 0) return finder.find(image, most);
    const [whole] = finder.views(image);
    const hands = finder.palmCrops(image, whole).map((crop) => finder.settled(image, crop));
    return hands.filter((hand) => hand.score >= constants.find.ACCEPTED);
  }

  /**
   * @param {Pyramid} image
   * @param {Track[]} tracks
   * @param {import("./engine.js").EstimateOptions} options
   * @param {import("./engine.js").Estimate["times"]} times
   */
  estimates(image, tracks, options, times) {
    if (!tracks.length) return [];
    this.camera ??= this.predictor.camera(
      image,
      options,
      tracks.map((track) => /** @type {Look} */ (track.seen).crop),
    );
    return tracks
      .sort((a, b) => a.number - b.number)
      .map((track) => {
        const near = track.state ? this.estimated(image, track, options, times) : null,
          hand = near ?? this.estimated(image, track, options, times, true);
        return { .../** @type {import("./engine.js").Hand} */ (hand), track: track.number };
      });
  }

  /**
   * A hand near where the frame before expects it, null if it is not there; or afresh.
   * @param {Pyramid} image
   * @param {Track} track
   * @param {import("./engine.js").EstimateOptions} options
   * @param {import("./engine.js").Estimate["times"]} times
   */
  estimated(image, track, options, times, afresh = false) {
    const { constants, predictor } = this,
      { ITERATIONS, SHAPE, STEPS, UNFITTED, VELOCITY } = constants.track;
    const { K } = /** @type {{K: Float64Array}} */ (this.camera),
      look = /** @type {Look} */ (track.seen);
    /** @type {import("./predict.js").Refinement} */
    let how = { iterations: options.refineSteps === 0 ? 0 : constants.lift.ITERATIONS };
    if (!afresh) {
      const state = /** @type {FitState} */ (track.state),
        expected = track.step
          ? movedState(
              state,
              track.step.map((value) => VELOCITY * value),
            )
          : state;
      const step_shape = Math.max(SHAPE / Math.sqrt(track.frames), STEPS.step_shape);
      how = { iterations: options.refineSteps ?? ITERATIONS, before: expected, noise: { ...STEPS, step_shape } };
    }
    const { hand, state, residual } = predictor.estimate(look, K, image.width, how, options, times);
    if (
      !afresh &&
      residual.reduce((sum, value) => sum + Math.min(value, STEPS.outlier), 0) / residual.length > UNFITTED
    )
      return null;
    track.frames += 1;
    if (state) track.fitted(state, afresh);
    return hand;
  }

  /** The tracks without those that have come to lie on the hand of an older one. */
  apart() {
    const kept = /** @type {Track[]} */ ([]);
    for (const track of this.tracks) {
      if (!(track.seen && kept.some((other) => other.seen && this.finder.samePoints(track.points_px, other.points_px))))
        kept.push(track);
    }
    return kept;
  }
}
