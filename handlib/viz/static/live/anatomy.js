// What is known about every hand: its points, the prior of its pose, the limits of its joints; handlib/hand/anatomy.py.

export class Anatomy {
  /**
   * @param {import("./skeleton.js").Skeleton} skeleton
   * @param {Record<string, any>} arrays of the pack, "fit."
   */
  constructor(skeleton, { priorMean, priorBasis, axes, limits }) {
    this.skeleton = skeleton;
    this.mean = Float64Array.from(priorMean);
    this.k = priorBasis.length / 45;
    // 45 × k; the pack has it the other way round.
    this.basis = Float64Array.from(priorBasis, (_, i) => priorBasis[(i % this.k) * 45 + Math.floor(i / this.k)]);
    this.axes = Float64Array.from(axes);
    this.limits = Float64Array.from(limits);
    // Derivatives of the angles by z: what the limits need.
    this.angleByZ = new Float64Array(45 * this.k);
    for (let n = 0; n < 45; n++) {
      const joint = n - (n % 3);
      for (let k = 0; k < this.k; k++)
        for (let c = 0; c < 3; c++)
          this.angleByZ[n * this.k + k] += this.axes[3 * n + c] * this.basis[(joint + c) * this.k + k];
    }
  }

  /** @param {ArrayLike<number>} z */
  pose(z) {
    const pose = Float64Array.from(this.mean);
    for (let n = 0, at = 0; n < 45; n++) for (let k = 0; k < this.k; k++, at++) pose[n] += z[k] * this.basis[at];
    return pose;
  }

  /** z of a pose. @param {ArrayLike<number>} pose */
  whitened(pose) {
    return Float64Array.from({ length: this.k }, (_, k) => {
      let product = 0,
        squared = 0;
      for (let n = 0; n < 45; n++) {
        product += (pose[n] - this.mean[n]) * this.basis[n * this.k + k];
        squared += this.basis[n * this.k + k] ** 2;
      }
      return product / squared;
    });
  }

  /** Radians by which each angle is out of its range. @param {ArrayLike<number>} pose */
  excess(pose) {
    return Float64Array.from({ length: 45 }, (_, n) => {
      const j = n - (n % 3),
        angle = this.axes[3 * n] * pose[j] + this.axes[3 * n + 1] * pose[j + 1] + this.axes[3 * n + 2] * pose[j + 2];
      return Math.max(angle - this.limits[45 + n], 0) - Math.max(this.limits[n] - angle, 0);
    });
  }
}
