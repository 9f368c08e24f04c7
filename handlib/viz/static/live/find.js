// Where the hands of an image are, and what the landmark network says about each; as handlib/photo/find.py.

import { cropAroundPoints, cropToPx, extent, turnedCrop } from "./crops.js";
import { sigmoid } from "./detectors.js";

/**
 * @typedef {import("./crops.js").Crop} Crop
 * @typedef {import("./detectors.js").Evidence} Evidence
 * @typedef {import("./pyramid.js").Pyramid} Pyramid
 *
 * @typedef {object} Detection
 * @property {Crop} crop through which it was looked at last
 * @property {Evidence} evidence
 * @property {Float64Array} points_px 42
 * @property {number} score 0 where it was not checked
 * @property {Float64Array | null} spread of each point between the checks, over the hand's side
 *
 * @typedef {{name: string, crops: Crop[], black: boolean, size: number, palm: number, nextToo?: boolean}} View black:
 * what is beyond the image, else its rim; size: of its pictures; palm: least score of one; nextToo: whether the next
 * view is searched too where a hand was found
 */

export class Finder {
  /**
   * @param {import("./detectors.js").PalmDetector} palms
   * @param {import("./detectors.js").LandmarkDetector} landmarks
   * @param {any} constants of all modules
   */
  constructor(palms, landmarks, constants) {
    this.palms = palms;
    this.landmarks = landmarks;
    this.constants = constants;
    /** Milliseconds that all searches for palms took. */
    this.searched = 0;
  }

  /**
   * Up to `most` hands, surest first. Of what lies at one place the surest is kept; the search goes on while nothing
   * there is sure.
   * @param {Pyramid} image
   * @param {number} most
   * @param {(hand: Detection) => void} [onFound] called with each sure hand
   * @returns {Detection[]}
   */
  find(image, most, onFound = () => {}) {
    const { SURE, TURNED_ZOOM } = this.constants.find;
    /** @type {Detection[]} */
    let hands = [];
    const isSure = (/** @type {Detection} */ hand) => hand.score >= SURE;
    const add = (/** @type {Detection} */ hand) => {
      hands = this.surest([...hands, hand]);
      if (isSure(hand) && hands.includes(hand)) onFound(hand);
    };
    for (const view of this.views(image)) {
      for (const crop of this.palmCrops(image, view)) {
        if (hands.some((hand) => isSure(hand) && this.samePlace(crop, this.around(hand.points_px)))) continue;
        add(this.settled(image, crop));
        if (hands.filter(isSure).length >= most) return hands.slice(0, most);
      }
      if (view.name === "turned" && !hands.some(isSure))
        add(this.surestTurn(image, turnedCrop(view.crops[0], 0, 1 / TURNED_ZOOM)));
      if (hands.length && hands.every(isSure) && !view.nextToo) break;
    }
    return hands.slice(0, most);
  }

  /**
   * Where to look for palms.
   * @param {Pyramid} image
   * @returns {Iterable<View>}
   */
  *views({ width, height }) {
    const { TURNED_ZOOM, TILE, OVERLAP, PALM: palm, SMALL_PALM } = this.constants.find,
      { size } = this.palms,
      long = Math.max(width, height),
      large = 2 * size,
      fine = long >= 1.5 * large,
      whole = { x: width / 2, y: height / 2, side: long, angle: 0 };
    yield { name: "whole", crops: [whole], black: true, size, palm, nextToo: true };
    yield { name: "farther", crops: [turnedCrop(whole, 0, 1.6)], black: false, size, palm, nextToo: !fine };
    if (fine) yield { name: "finer", crops: [whole], black: true, size: large, palm };
    if (TILE * long >= large) {
      const crops = tiles(height, width, TILE * long, OVERLAP);
      yield { name: "tiles", crops, black: true, size: large, palm: SMALL_PALM };
    }
    const turns = [1, 2, 3].map((n) => turnedCrop(whole, (n * Math.PI) / 2, TURNED_ZOOM));
    yield { name: "turned", crops: turns, black: false, size, palm };
    if (fine) yield { name: "halves", crops: tiles(height, width, long / 2, 0.5), black: true, size, palm };
  }

  /**
   * Crops of the hands whose palms are in a view, most certain first.
   * @param {Pyramid} image
   * @param {View} view
   * @returns {Crop[]}
   */
  palmCrops(image, { crops, black, size, palm }) {
    const began = performance.now();
    const found = crops.flatMap((crop) => this.palms.crops(image, crop, black, size, palm));
    /** @type {Crop[]} */
    const kept = [];
    for (const { crop } of found.sort((a, b) => b.score - a.score)) {
      if (!kept.some((other) => this.samePlace(crop, other))) kept.push(crop);
    }
    this.searched += performance.now() - began;
    return kept;
  }

  /**
   * @param {Pyramid} image
   * @param {Crop} crop
   * @returns {Detection}
   */
  look(image, crop) {
    const evidence = this.landmarks.look(image, crop);
    return { crop, evidence, points_px: cropToPx(crop, evidence.points, 3), score: 0, spread: null };
  }

  /**
   * The hand of a crop after further looks through its own points, checked. Score 0 if at any look there is none.
   * @param {Pyramid} image
   * @param {Crop} crop
   */
  settled(image, crop, again = 1) {
    const { PRESENT } = this.constants.find;
    let hand = this.look(image, crop),
      before = hand;
    for (let n = 0; n < again; n++) {
      if (hand.evidence.presence < PRESENT) return hand;
      before = hand;
      hand = this.look(image, this.around(hand.points_px));
    }
    return hand.evidence.presence < PRESENT ? hand : this.checked(image, hand, before);
  }

  /**
   * The hand with its score: how sure the network is, through moved crops too, and how far its points move.
   * @param {Pyramid} image
   * @param {Detection} hand
   * @param {Detection} before
   * @returns {Detection}
   */
  checked(image, hand, before) {
    const own = this.around(hand.points_px),
      { side } = extent(hand.points_px);
    const moves = /** @type {number[][]} */ (this.constants.find.MOVES);
    const looks = moves.map(([x, y, scale, angle]) =>
      this.look(image, {
        x: own.x + x * own.side,
        y: own.y + y * own.side,
        side: own.side * scale,
        angle: own.angle + angle,
      }),
    );
    const all = [hand, ...looks].map((look) => look.points_px),
      mean = all[0].map((_, i) => average(all.map((points) => points[i])));
    const distances = all.map((points) => distancesOf(points, mean));
    const spread = Float64Array.from(
      { length: 21 },
      (_, j) => average(distances.map((distance) => distance[j])) / side,
    );
    const settled = average(distancesOf(hand.points_px, before.points_px)) / side;
    const moved = average(looks.map((look) => look.evidence.presence));
    const {
      HAND: [bias, ...slopes],
    } = this.constants.confidence;
    const features = [
      logit(hand.evidence.presence),
      logit(moved),
      Math.log(settled + 0.01),
      Math.log(average(spread) + 0.01),
    ];
    return { ...hand, spread, score: sigmoid(features.reduce((sum, feature, i) => sum + slopes[i] * feature, bias)) };
  }

  /**
   * The hand of a square: looked at in eight turns, the most present ones followed, the best scored kept.
   * @param {Pyramid} image
   * @param {Crop} square
   */
  surestTurn(image, square) {
    const { TURNS, TRIED } = this.constants.find;
    const turns = Array.from({ length: TURNS }, (_, n) =>
      this.look(image, turnedCrop(square, (n * 2 * Math.PI) / TURNS)),
    );
    turns.sort((a, b) => b.evidence.presence - a.evidence.presence);
    const hands = turns.slice(0, TRIED).map((hand) => this.settled(image, this.around(hand.points_px), 2));
    return hands.reduce((best, hand) =>
      hand.score > best.score || (hand.score === best.score && hand.evidence.presence > best.evidence.presence)
        ? hand
        : best,
    );
  }

  /** @param {ArrayLike<number>} points */
  around(points) {
    return cropAroundPoints(points, this.constants.turned_crop);
  }

  /**
   * @param {Crop} one
   * @param {Crop} other
   */
  samePlace(one, other) {
    const ratio = one.side / other.side,
      apart = Math.hypot(one.x - other.x, one.y - other.y);
    return apart < this.constants.find.SAME_PLACE * Math.min(one.side, other.side) && 0.5 < ratio && ratio < 2;
  }

  /**
   * @param {ArrayLike<number>} one
   * @param {ArrayLike<number>} other
   */
  samePoints(one, other, within = this.constants.find.SAME_POINTS) {
    return average(distancesOf(one, other)) < within * extent(other).side;
  }

  /**
   * Those that are accepted, surest first, without what lies where a surer one does.
   * @param {Detection[]} hands
   */
  surest(hands) {
    /** @type {Detection[]} */
    const kept = [];
    for (const hand of [...hands].sort((a, b) => b.score - a.score)) {
      const known = kept.some((other) => this.samePoints(hand.points_px, other.points_px));
      if (hand.score >= this.constants.find.ACCEPTED && !known) kept.push(hand);
    }
    return kept;
  }
}

/** @param {number} probability */
export function logit(probability) {
  const inside = Math.min(Math.max(probability, 1e-4), 1 - 1e-4);
  return Math.log(inside / (1 - inside));
}

/** @param {ArrayLike<number>} values */
function average(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
function distancesOf(a, b) {
  return Float64Array.from({ length: a.length / 2 }, (_, j) =>
    Math.hypot(a[2 * j] - b[2 * j], a[2 * j + 1] - b[2 * j + 1]),
  );
}

/**
 * Squares of this side that cover the image and overlap by a part of it.
 * @param {number} height
 * @param {number} width
 * @param {number} side
 * @param {number} overlap
 * @returns {Crop[]}
 */
function tiles(height, width, side, overlap) {
  /** @param {number} length */
  const centers = (length) => {
    const count = Math.max(1, Math.ceil((length - side) / ((1 - overlap) * side) - 1e-6) + 1);
    if (count === 1) return [length / 2];
    return Array.from({ length: count }, (_, i) => side / 2 + (i * (length - side)) / (count - 1));
  };
  return centers(height).flatMap((y) => centers(width).map((x) => ({ x, y, side, angle: 0 })));
}
