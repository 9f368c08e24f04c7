// The method laid open: its steps, the objective of Eq. 13, switches that leave parts out, and what each part costs.

import { button, element } from "../dom.js";

/** @typedef {import("./engine.js").Stage} Step */
/** @typedef {import("./engine.js").Estimate} Estimate */
/** @typedef {{refiner: boolean, features: boolean, iterations: number, points3d: boolean, refineSteps?: number}} Options */

const STEP_MS = 220; // that a step stays in sight while they are played
const CHART = { width: 320, height: 110, left: 6, right: 6, top: 22, bottom: 20 };

/** Parts that can be left out: the whole method has every one. @type {[keyof Options, string, any][]} */
const SWITCHES = [
  ["refiner", "the 2D joint refiner Ref (Eq. 6)", false],
  ["features", "the features F(x)", false],
  ["iterations", "E3D’s second and third step", 1],
  ["refineSteps", "the refinement (Eq. 13)", 0],
  ["points3d", "the refinement’s 3D term", false],
];

/** @type {[keyof Estimate["times"], string][]} */
const PARTS = [["detect", "finding palms"], ["landmarks", "landmarks and features"], ["e3d", "E3D and Ref"], ["refine", "refinement"], ["first", "until the first hand"], ["total", "in all"]];

export class Method {
  /**
   * @param {string} id for the controls' own
   * @param {(options: Options) => void} onOptions a part was switched on or off
   * @param {(step: number) => void} onStep another step is to be seen
   */
  constructor(id, onOptions, onStep) {
    this.onStep = onStep;
    /** @type {Step[]} */
    this.steps = [];
    this.playing = 0;
    this.slider = element("input", { id: `${id}-step`, type: "range", min: 0, max: 0, step: 1 });
    this.slider.addEventListener("input", () => {
      this.stop();
      this.show(Number(this.slider.value));
    });
    this.name = element("span", { class: "value", "aria-hidden": "true" });
    this.button = button("play the steps", () => this.play());
    this.chart = element("div", { class: "chart", role: "img" });
    this.times = element("table", {},
      element("caption", {}, "milliseconds"),
      element("tbody", {}, ...PARTS.map(([, label]) => element("tr", {}, element("th", { scope: "row" }, label), element("td", {}, "–")))));
    this.effect = element("p", { class: "effect" });
    this.boxes = SWITCHES.map(([name, label, without]) => {
      const input = element("input", { id: `${id}-${name}`, type: "checkbox", onchange: () => onOptions(this.options) });
      input.checked = true;
      return { name, without, input, row: element("label", { for: input.id, class: "check" }, input, label) };
    });
    this.root = element("div", { class: "method" },
      element("fieldset", { class: "steps" }, element("legend", {}, "Step by step"),
        element("div", { class: "control" }, element("label", { for: this.slider.id }, "step"), this.slider, this.name),
        this.chart, this.button),
      element("fieldset", {}, element("legend", {}, "Leave a part out"), ...this.boxes.map(({ row }) => row), this.effect),
      element("fieldset", { class: "times" }, element("legend", {}, "What each part costs (ms)"), this.times));
  }

  /** @returns {Options} */
  get options() {
    /** @type {Options} */
    const options = { refiner: true, features: true, iterations: 3, points3d: true };
    for (const { name, without, input } of this.boxes) if (!input.checked) Object.assign(options, { [name]: without });
    return options;
  }

  get whole() {
    return this.boxes.every(({ input }) => input.checked);
  }

  /** @param {Step[]} steps of the chosen hand; none while the camera runs */
  set(steps) {
    this.stop();
    this.steps = steps;
    this.slider.max = String(Math.max(steps.length - 1, 0));
    this.slider.disabled = this.button.disabled = steps.length < 2;
    this.show(steps.length - 1);
  }

  /** @param {number} step */
  show(step) {
    this.slider.value = String(Math.max(step, 0));
    const name = this.steps[step]?.name ?? "–";
    this.name.textContent = name;
    this.slider.setAttribute("aria-valuetext", name);
    this.drawChart(step);
    if (this.steps[step]) this.onStep(step);
  }

  // From the first step to the last; at once for those who want no motion.
  play() {
    this.stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.show(this.steps.length - 1);
    let step = 0;
    this.show(step);
    this.playing = setInterval(() => {
      if (++step >= this.steps.length) return this.stop();
      this.show(step);
    }, STEP_MS);
  }

  stop() {
    clearInterval(this.playing);
  }

  /** @param {number} step */
  drawChart(step) {
    const values = this.steps.map(({ energy }) => energy);
    const known = /** @type {number[]} */ (values.filter((value) => value !== null));
    if (known.length < 2) {
      const why = values.length ? "Without refinement there is no objective to draw." : "A photo shows its steps here; the camera does not.";
      this.chart.replaceChildren(why);
      this.chart.setAttribute("aria-label", why);
      return;
    }
    const first = values.length - known.length, [high, low] = [Math.max(...known), Math.min(...known)];
    const { width, height, left, right, top, bottom } = CHART;
    const x = (/** @type {number} */ n) => left + ((width - left - right) * (n - first)) / (known.length - 1);
    const y = (/** @type {number} */ value) => top + ((height - top - bottom) * (high - value)) / (high - low || 1);
    const path = known.map((value, n) => `${x(first + n).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const at = values[step], number = (/** @type {number} */ value) => value.toPrecision(3);
    const marker = typeof at === "number" ? [svg("circle", { cx: x(step), cy: y(at), r: 4.5 })] : [];
    this.chart.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
      svg("polyline", { points: path }), ...marker,
      svg("text", { x: left, y: 13 }, `${number(known[0])} at the start`),
      svg("text", { x: width - right, y: height - 5, "text-anchor": "end" }, `${number(known[known.length - 1])} after step ${known.length - 1}`)));
    this.chart.setAttribute("aria-label",
      `The objective of Eq. 13: ${number(known[0])} at the start, ${number(known[known.length - 1])} after ${known.length - 1} steps.`);
  }

  /** @param {Estimate["times"]} times 0 of what was not done */
  time(times) {
    PARTS.forEach(([name], n) => (this.times.rows[n].cells[1].textContent = times[name] ? times[name].toFixed(times[name] < 10 ? 1 : 0) : "–"));
  }

  /** @param {number | null} moved meters that the mesh lies away from the whole method's; null: nothing to compare */
  compare(moved) {
    this.effect.textContent = this.whole || moved === null ? ""
      : `Without it the mesh lies ${(1000 * moved).toFixed(1)} mm from the whole method’s, on average over its vertices.`;
  }
}

/**
 * Mean distance between two meshes, vertex by vertex.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
export function meanDistance(a, b) {
  let sum = 0;
  for (let n = 0; n < a.length; n += 3) sum += Math.hypot(a[n] - b[n], a[n + 1] - b[n + 1], a[n + 2] - b[n + 2]);
  return (3 * sum) / a.length;
}

/** @param {string} tag @param {Record<string, string | number>} attributes @param {(Node | string)[]} children */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}
