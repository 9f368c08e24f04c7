// Rotations of three dimensions. Matrices are nine numbers, row by row; vectors are axis times radians.

/** @typedef {Float64Array | number[]} Numbers */

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
export function matrixProduct(a, b) {
  const product = new Float64Array(9);
  for (let r = 0; r < 9; r += 3)
    for (let c = 0; c < 3; c++) product[r + c] = a[r] * b[c] + a[r + 1] * b[c + 3] + a[r + 2] * b[c + 6];
  return product;
}

/** @param {ArrayLike<number>} m */
export function transposedMatrix(m) {
  return Float64Array.of(m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]);
}

/**
 * M x of points one after the other.
 * @param {ArrayLike<number>} m
 * @param {ArrayLike<number>} points
 */
export function turnedPoints(m, points) {
  const turned = new Float64Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const x = points[i],
      y = points[i + 1],
      z = points[i + 2];
    turned[i] = m[0] * x + m[1] * y + m[2] * z;
    turned[i + 1] = m[3] * x + m[4] * y + m[5] * z;
    turned[i + 2] = m[6] * x + m[7] * y + m[8] * z;
  }
  return turned;
}

/** Rodrigues: I + sin φ/φ [v]× + (1 − cos φ)/φ² [v]×². @type {(x: number, y: number, z: number) => Float64Array} */
export function rotationOfVector(x, y, z) {
  const squared = x * x + y * y + z * z,
    angle = Math.sqrt(squared),
    small = squared < 1e-12;
  const a = small ? 1 - squared / 6 : Math.sin(angle) / angle,
    half = Math.sin(angle / 2),
    b = small ? 0.5 - squared / 24 : (2 * half * half) / squared;
  // prettier-ignore
  return Float64Array.of(1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y,
                         b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x,
                         b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y));
}

/** The vector of a rotation, of at most π. @param {ArrayLike<number>} m */
export function vectorOfRotation(m) {
  const [w, x, y, z] = quaternionOfRotation(m),
    sine = Math.hypot(x, y, z);
  const scale = sine < 1e-12 ? 2 : (2 * Math.atan2(sine, w)) / sine;
  return Float64Array.of(scale * x, scale * y, scale * z);
}

/** Unit quaternion w, x, y, z with w ≥ 0. @param {ArrayLike<number>} m */
export function quaternionOfRotation(m) {
  const trace = m[0] + m[4] + m[8],
    largest = Math.max(trace, m[0], m[4], m[8]);
  let q;
  if (largest === trace) q = [1 + trace, m[7] - m[5], m[2] - m[6], m[3] - m[1]];
  else if (largest === m[0]) q = [m[7] - m[5], 1 + m[0] - m[4] - m[8], m[1] + m[3], m[2] + m[6]];
  else if (largest === m[4]) q = [m[2] - m[6], m[1] + m[3], 1 + m[4] - m[0] - m[8], m[5] + m[7]];
  else q = [m[3] - m[1], m[2] + m[6], m[5] + m[7], 1 + m[8] - m[0] - m[4]];
  const length = Math.hypot(...q) * (q[0] < 0 ? -1 : 1);
  return Float64Array.from(q, (value) => value / length);
}

/** Of a quaternion w, x, y, z of any length. @param {ArrayLike<number>} q */
export function rotationOfQuaternion(q) {
  const length = Math.hypot(q[0], q[1], q[2], q[3]) || 1,
    [w, x, y, z] = [0, 1, 2, 3].map((n) => q[n] / length);
  // prettier-ignore
  return Float64Array.of(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                         2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                         2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y));
}

/**
 * The sum of a matrix's singular values, the last with the sign of the determinant: the largest tr(Rᵀ M) of a rotation
 * R (orthogonal Procrustes).
 * @param {ArrayLike<number>} m
 */
export function nearestTrace(m) {
  // Roots of the eigenvalues of Mᵀ M, in closed form.
  const a = m[0] * m[0] + m[3] * m[3] + m[6] * m[6],
    b = m[1] * m[1] + m[4] * m[4] + m[7] * m[7];
  const c = m[2] * m[2] + m[5] * m[5] + m[8] * m[8],
    d = m[0] * m[1] + m[3] * m[4] + m[6] * m[7];
  const e = m[1] * m[2] + m[4] * m[5] + m[7] * m[8],
    f = m[0] * m[2] + m[3] * m[5] + m[6] * m[8];
  const mean = (a + b + c) / 3,
    x = a - mean,
    y = b - mean,
    z = c - mean;
  const p = Math.sqrt((x * x + y * y + z * z + 2 * (d * d + e * e + f * f)) / 6) || 1e-300;
  const half = (x * y * z + 2 * d * e * f - x * e * e - y * f * f - z * d * d) / (2 * p * p * p);
  const angle = Math.acos(Math.min(Math.max(half, -1), 1)) / 3,
    first = mean + 2 * p * Math.cos(angle);
  const last = mean + 2 * p * Math.cos(angle + (2 * Math.PI) / 3),
    middle = 3 * mean - first - last;
  const det =
    m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
  const two = Math.sqrt(first) + Math.sqrt(Math.max(middle, 0));
  return two + Math.sign(det) * Math.sqrt(Math.max(last, 0));
}

/**
 * The rotation nearest to a matrix: R with the largest tr(Rᵀ M).
 * @param {ArrayLike<number>} m
 */
export function nearestRotation(m) {
  // Horn: the quaternion is the eigenvector of the largest eigenvalue, the trace, of a symmetric 4 × 4 matrix.
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = Array.from(m);
  // prettier-ignore
  const a = [[xx + yy + zz, zy - yz, xz - zx, yx - xy],
             [zy - yz, xx - yy - zz, xy + yx, xz + zx],
             [xz - zx, xy + yx, yy - xx - zz, yz + zy],
             [yx - xy, xz + zx, yz + zy, zz - xx - yy]];
  const v = [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ];
  const size = Math.hypot(...a.flat()) || 1;
  for (let sweep = 0; sweep < 20; sweep++) {
    let rest = 0;
    for (let p = 0; p < 3; p++)
      for (let q = p + 1; q < 4; q++) {
        rest = Math.max(rest, Math.abs(a[p][q]));
        if (Math.abs(a[p][q]) < 1e-18 * size) continue;
        // Jacobi: the turn in the plane p, q that makes this entry zero.
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1)),
          c = 1 / Math.sqrt(t * t + 1),
          s = t * c;
        for (let k = 0; k < 4; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
        for (let k = 0; k < 4; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
        for (let k = 0; k < 4; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
      }
    if (rest < 1e-15 * size) break;
  }
  const best = [0, 1, 2, 3].reduce((most, n) => (a[n][n] > a[most][most] ? n : most), 0);
  return rotationOfQuaternion(v.map((row) => row[best]));
}
