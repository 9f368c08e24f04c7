// The two published networks: where palms are, and what one hand shows; as handlib/networks/palms.py and landmarks.py.

import { Network } from "./network.js";
import { innerCrop, uprightAngle } from "./crops.js";

/**
 * @typedef {import("./crops.js").Crop} Crop
 * @typedef {object} Evidence of one turned crop
 * @property {Float64Array} points 63: crop coordinates; z in the same unit, relative to the wrist
 * @property {number} presence
 * @property {number} right
 * @property {Float64Array} points_3d 63: meters along the crop's axes
 * @property {Float64Array} features 1152
 */

/** @param {number} value */
export function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

/**
 * W x + b, rows of W one after the other.
 * @param {{weight: Float32Array, bias: Float32Array}} layer
 * @param {Float64Array} x
 */
export function linear({ weight, bias }, x) {
  const y = Float64Array.from(bias),
    n = x.length;
  for (let i = 0, row = 0; i < y.length; i++, row += n) {
    // Four sums, which do not wait for each other.
    let a = 0,
      b = 0,
      c = 0,
      d = 0,
      j = 0;
    for (; j + 3 < n; j += 4) {
      a += weight[row + j] * x[j];
      b += weight[row + j + 1] * x[j + 1];
      c += weight[row + j + 2] * x[j + 2];
      d += weight[row + j + 3] * x[j + 3];
    }
    for (; j < n; j++) a += weight[row + j] * x[j];
    y[i] += a + b + (c + d);
  }
  return y;
}

export class LandmarkDetector {
  /**
   * @param {import("./kernels.js").Kernels} kernels
   * @param {import("./pack.js").Pack} pack
   */
  constructor(kernels, { arrays, live }) {
    this.network = new Network(kernels, live.networks.landmarks, arrays);
    this.zScale = live.constants.landmarks.Z_SCALE;
    /** @type {(name: string) => {weight: Float32Array, bias: Float32Array}} */
    const head = (name) => ({ weight: arrays[`landmarks.${name}.weight`], bias: arrays[`landmarks.${name}.bias`] });
    this.heads = {
      points: head("points"),
      presence: head("presence"),
      handedness: head("handedness"),
      points_3d: head("points_3d"),
    };
  }

  /**
   * What a crop of an image shows. mirrored: its mirror image.
   * @param {import("./pyramid.js").Pyramid} image
   * @param {Crop} crop
   * @returns {Evidence}
   */
  look(image, crop, mirrored = false) {
    const { network, heads, zScale } = this,
      { size } = network;
    image.sample(crop, size, network.input(), false, mirrored);
    network.run();
    const [{ side, channels, values }] = network.outputs();
    const features = new Float64Array(channels);
    for (let at = 0; at < values.length; at += channels)
      for (let c = 0; c < channels; c++) features[c] += values[at + c];
    for (let c = 0; c < channels; c++) features[c] /= side * side;
    const points = linear(heads.points, features);
    for (let i = 0; i < points.length; i += 3) {
      // The network counts pixels from the middle of the first one, crop coordinates from its edge; its z is scaled.
      points[i] = ((points[i] + 0.5) * 2) / size - 1;
      points[i + 1] = ((points[i + 1] + 0.5) * 2) / size - 1;
      points[i + 2] *= 2 / size / zScale;
    }
    const [presence, right] = [heads.presence, heads.handedness].map((head) => sigmoid(linear(head, features)[0]));
    return { points, presence, right, points_3d: linear(heads.points_3d, features), features };
  }
}

/** @typedef {{score: number, points: Float64Array}} Palm a box's two corners and seven points, crop coordinates */

export class PalmDetector {
  /**
   * @param {import("./kernels.js").Kernels} kernels
   * @param {import("./pack.js").Pack} pack
   */
  constructor(kernels, { arrays, live }) {
    this.network = new Network(kernels, live.networks.palms, arrays);
    /** Of the pictures for which the network was trained; it takes pictures of so many times that too. */
    this.size = this.network.size;
    /** @type {[number, number][]} cells a side, anchors a cell; of the fine level, then of the coarse one */
    this.anchors = live.networks.palms.anchors;
    this.constants = live.constants.palms;
  }

  /**
   * Crops of the hands whose palms are in a view, with their scores.
   * @param {import("./pyramid.js").Pyramid} image
   * @param {Crop} view
   * @param {boolean} black what is beyond the image
   * @param {number} size of the picture of it
   * @param {number} threshold
   * @returns {{score: number, crop: Crop}[]}
   */
  crops(image, view, black, size, threshold) {
    const { constants } = this,
      network = this.network.of(size);
    image.sample(view, size, network.input(), black);
    network.run();
    return mergedPalms(this.palms(network, threshold), constants.SAME_PALM).map(({ score, points: p }) => {
      const width = p[2] - p[0],
        height = p[3] - p[1],
        angle = uprightAngle(p[4], p[5], p[8], p[9]);
      const shift = constants.SHIFT * height;
      const x = (p[0] + p[2]) / 2 + shift * Math.sin(angle),
        y = (p[1] + p[3]) / 2 - shift * Math.cos(angle);
      return { score, crop: innerCrop(view, { x, y, side: constants.SCALE * Math.max(width, height), angle }) };
    });
  }

  /**
   * What the anchors say that are sure enough, most certain first.
   * @param {Network} network that has run
   * @param {number} threshold
   * @returns {Palm[]}
   */
  palms(network, threshold) {
    const found = [],
      maps = network.outputs(4);
    for (const [n, [own, count]] of this.anchors.entries()) {
      const cells = (own * network.size) / this.size,
        scores = maps[2 * n],
        boxes = maps[2 * n + 1];
      for (let cell = 0; cell < cells * cells; cell++) {
        const x = (((cell % cells) + 0.5) / cells) * 2 - 1,
          y = ((Math.floor(cell / cells) + 0.5) / cells) * 2 - 1;
        for (let k = 0; k < count; k++) {
          const score = sigmoid(scores.values[cell * scores.channels + k]);
          if (score < threshold) continue;
          // Nine pairs, in pixels: the box's middle and size, then points, all but the size relative to the anchor.
          const raw = boxes.values.subarray(cell * boxes.channels + 18 * k, cell * boxes.channels + 18 * (k + 1));
          const points = Float64Array.from(raw, (value, i) => {
            const corner = i < 2 ? value - raw[i + 2] / 2 : i < 4 ? raw[i - 2] + value / 2 : value;
            return (corner * 2) / network.size + (i % 2 ? y : x);
          });
          found.push({ score, points });
        }
      }
    }
    return found.sort((a, b) => b.score - a.score);
  }
}

/**
 * Boxes of one palm averaged by their scores.
 * @param {Palm[]} rest most certain first
 * @param {number} same intersection over union from which on two boxes are of one palm
 * @returns {Palm[]}
 */
function mergedPalms(rest, same) {
  const merged = [];
  while (rest.length) {
    const best = rest[0],
      group = rest.filter((palm) => palm === best || overlap(best.points, palm.points) > same);
    const total = group.reduce((sum, palm) => sum + palm.score, 0);
    const points = best.points.map((_, i) =>
      group.reduce((sum, palm) => sum + (palm.score / total) * palm.points[i], 0),
    );
    merged.push({ score: best.score, points });
    rest = rest.filter((palm) => !group.includes(palm));
  }
  return merged;
}

/**
 * Intersection over union of two boxes.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
function overlap(a, b) {
  const common = [0, 1].map((c) => Math.max(Math.min(a[c + 2], b[c + 2]) - Math.max(a[c], b[c]), 0));
  const [shared, one, other] = [common[0] * common[1], area(a), area(b)];
  return shared / Math.max(one + other - shared, 1e-12);
}

/** @param {ArrayLike<number>} box */
function area(box) {
  return (box[2] - box[0]) * (box[3] - box[1]);
}
