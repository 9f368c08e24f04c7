// Levenberg–Marquardt, as handlib/fitting/solver.py.

import { normalEquations } from "./normal_equations.js";
import { movedState } from "./posterior.js";

/**
 * The state after some iterations, no worse than its start, and its energy.
 * @param {import("./posterior.js").Posterior} posterior
 * @param {import("./posterior.js").FitState} state
 * @param {number} iterations
 * @param {(state: import("./posterior.js").FitState, energy: number) => void} [onStep]
 */
export function descend(posterior, state, iterations, onStep = () => {}) {
  let energy = posterior.energy(state),
    damping = 1e-2;
  for (let n = 0; n < iterations; n++) {
    const { hessian, slope } = normalEquations(posterior, state),
      step = solved(hessian, slope, damping);
    const tried = movedState(
        state,
        step.map((value) => -value),
      ),
      reached = posterior.energy(tried);
    if (reached < energy) [state, energy, damping] = [tried, reached, damping / 4];
    else damping *= 6;
    damping = Math.min(Math.max(damping, 1e-7), 1e7);
    onStep(state, energy);
  }
  return { state, energy };
}

/**
 * The solution of (H + damping · diagonal of H) x = slope by Cholesky's factors, which take the place of H.
 * @param {Float64Array} hessian
 * @param {Float64Array} slope
 * @param {number} damping
 */
function solved(hessian, slope, damping) {
  const n = slope.length,
    L = hessian,
    x = Float64Array.from(slope);
  for (let i = 0; i < n; i++) L[n * i + i] += damping * L[n * i + i] + 1e-9;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = L[n * i + j];
      for (let k = 0, a = n * i, b = n * j; k < j; k++, a++, b++) sum -= L[a] * L[b];
      L[n * i + j] = i === j ? Math.sqrt(sum) : sum / L[n * j + j];
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= L[n * i + k] * x[k];
    x[i] /= L[n * i + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= L[n * k + i] * x[k];
    x[i] /= L[n * i + i];
  }
  return x;
}
