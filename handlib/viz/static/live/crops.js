// Turned squares of an image, as handlib/networks/turned_crop.py: centers and sides in pixels, angles clockwise.

/**
 * @typedef {{x: number, y: number, side: number, angle: number}} Crop
 * @typedef {{HAND_SCALE: number, HAND_SHIFT: number, INNER: number[], WRIST: number, PIP: number[]}} CropConstants
 */

/**
 * The square of a hand whose 21 points are known.
 * @param {ArrayLike<number>} points 42
 * @param {CropConstants} constants
 * @returns {Crop}
 */
export function cropAroundPoints(points, { HAND_SCALE, HAND_SHIFT, INNER, WRIST, PIP: [index, middle, ring] }) {
  const to = [0, 1].map((c) => (points[2 * index + c] + points[2 * ring + c]) / 4 + points[2 * middle + c] / 2);
  const angle = uprightAngle(points[2 * WRIST], points[2 * WRIST + 1], to[0], to[1]);
  const inner = INNER.map((j) => [points[2 * j], points[2 * j + 1]]);
  const [low, high] = bounds(inner),
    x = (low[0] + high[0]) / 2,
    y = (low[1] + high[1]) / 2;
  const c = Math.cos(angle),
    s = Math.sin(angle);
  const [near, far] = bounds(inner.map(([u, v]) => [(u - x) * c + (v - y) * s, (v - y) * c - (u - x) * s]));
  const across = (near[0] + far[0]) / 2,
    height = far[1] - near[1],
    down = (near[1] + far[1]) / 2 - HAND_SHIFT * height;
  return {
    x: x + c * across - s * down,
    y: y + s * across + c * down,
    side: HAND_SCALE * Math.max(far[0] - near[0], height),
    angle,
  };
}

/** @type {(points: number[][]) => [number[], number[]]} */
function bounds(points) {
  const columns = [0, 1].map((c) => points.map((point) => point[c]));
  return [columns.map((values) => Math.min(...values)), columns.map((values) => Math.max(...values))];
}

/**
 * The angle of a crop in which (x1, y1) is above (x0, y0).
 * @type {(x0: number, y0: number, x1: number, y1: number) => number}
 */
export function uprightAngle(x0, y0, x1, y1) {
  return Math.PI / 2 - Math.atan2(y0 - y1, x1 - x0);
}

/**
 * @param {Crop} crop
 * @param {number} angle
 * @returns {Crop} turned further, and larger
 */
export function turnedCrop(crop, angle, zoom = 1) {
  return { ...crop, side: crop.side * zoom, angle: crop.angle + angle };
}

/**
 * A square given in crop coordinates of another, in the image.
 * @type {(crop: Crop, inner: Crop) => Crop}
 */
export function innerCrop(crop, inner) {
  const [x, y] = cropToPx(crop, [inner.x, inner.y]);
  return { x, y, side: (inner.side * crop.side) / 2, angle: crop.angle + inner.angle };
}

/**
 * A crop in the mirror image of a picture of this width.
 * @type {(crop: Crop, width: number) => Crop}
 */
export function mirroredCrop(crop, width) {
  return { ...crop, x: width - crop.x, angle: -crop.angle };
}

/**
 * Crop coordinates to pixels. stride: from one point to the next.
 * @param {Crop} crop
 * @param {ArrayLike<number>} points
 */
export function cropToPx(crop, points, stride = 2) {
  const c = (Math.cos(crop.angle) * crop.side) / 2,
    s = (Math.sin(crop.angle) * crop.side) / 2;
  const px = new Float64Array((points.length / stride) * 2);
  for (let i = 0, p = 0; i < px.length; i += 2, p += stride) {
    px[i] = points[p] * c - points[p + 1] * s + crop.x;
    px[i + 1] = points[p] * s + points[p + 1] * c + crop.y;
  }
  return px;
}

/** The larger side of the tight box of points. @param {ArrayLike<number>} points */
export function extent(points) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    left = Math.min(left, points[i]);
    right = Math.max(right, points[i]);
    top = Math.min(top, points[i + 1]);
    bottom = Math.max(bottom, points[i + 1]);
  }
  return { left, top, right, bottom, side: Math.max(right - left, bottom - top) };
}
