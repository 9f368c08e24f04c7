// The hand explorer of handlib.viz.widgets: skins a hand in the page (live/hand.js) and draws it (live/turn_view.js).
//
// `startExplorer(id, data)` fills the element with that id. The page can then call window.handlibExplorers[id]:
//   vertices(pose, shape, correctives = true)  778 × 3 metres in the model's frame, one row after the other
//   joints(pose, shape, correctives = true)    21 × 3 metres, C21 order
//   set(pose, shape)                           shows that hand
//   state                                      what is shown: pose, shape, correctives, skeleton
//   view                                       the TurnView that shows it
// `pose` is 45 radians, axis-angle in MANO's joint order, and `shape` 10 standard deviations, as in Python.

// @ts-nocheck: not annotated
import { button, checkbox, element, unpack } from "./dom.js";
import { Hand } from "./live/hand.js";
import { TurnView, bones } from "./live/turn_view.js";

const DEGREES = 180 / Math.PI;
const BLEND_MS = 400; // from one named pose to the next
const VIEWS = {
  back: { x: -0.45, y: 0.15, z: 1.12 },
  palm: { x: -0.45, y: 0.15, z: -1.12 },
  thumb: { x: -1.16, y: 0.15, z: 0.33 },
};

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// A number as it is printed, with a true minus and no "−0".
const signed = (value, digits) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace("-", "");

// A slider for one number: `read()` is its value now, `write(value)` changes it, `show(value)` says it in words.
function slider(id, label, { low, high, step, read, write, show }) {
  const input = element("input", { id, type: "range", min: low, max: high, step });
  const output = element("span", { class: "value", "aria-hidden": "true" }); // an <output> would interrupt, aloud
  input.addEventListener("input", () => write(Number(input.value)));
  const sync = () => {
    const value = read(), text = show(value);
    if (output.textContent === text) return;
    output.textContent = text;
    input.value = value;
    input.setAttribute("aria-valuetext", text);
  };
  return { row: element("div", { class: "control" }, element("label", { for: id }, label), input, output), sync };
}

// ---- the explorer

export function explore(root, data) {
  const arrays = Object.entries(data.hand).map(([name, value]) => [name, Array.isArray(value) ? unpack(value) : value]);
  const hand = new Hand(Object.fromEntries(arrays));
  const poses = data.poses.map(([name, packed]) => [name, Array.from(unpack(packed))]);
  const samples = unpack(data.samples), stride = 55;
  const state = { pose: [...poses[0][1]], shape: new Array(10).fill(0), correctives: true, skeleton: false };
  const sliders = [];
  let blending = 0, drawing = 0, speaking = 0, sample = -1, length = 0, flatVolume = 0;
  let angles = hand.angles(state.pose);

  const colors = unpack(data.colors);
  const figure = element("div", { class: "scene", tabindex: 0, role: "group" });
  figure.setAttribute("aria-label", "A hand in three dimensions; drag it or press the arrow keys to turn it, plus and minus to come nearer and to step back.");
  const view = new TurnView(figure, VIEWS.back);
  const readout = element("p", { class: "readout", "aria-hidden": "true" });
  const status = element("p", { class: "spoken", role: "status", "aria-live": "polite" });
  const choice = element("select", { id: `${root.id}-pose`, onchange: () => blendTo(poses[choice.value][1]) });

  // Fingers up and the back of the hand to the reader: x, y, z of the view are −z, −x, y of the model.
  const facing = (points) =>
    Float32Array.from(points, (_, n) => [-points[n + 2], -points[n - 1], points[n - 1]][n % 3]);

  function draw() {
    drawing = 0;
    const vertices = hand.vertices(state.pose, state.shape, state.correctives);
    const skin = { vertices: facing(vertices), faces: hand.faces, colors, opacity: state.skeleton ? 0.45 : 1 };
    view.show(state.skeleton ? [bones(facing(hand.regress(vertices)), data.fingerColors), skin] : [skin], data.center, data.span);
    describe(vertices);
  }

  function describe(vertices) {
    const volume = hand.volume(vertices);
    const kept = (100 * volume) / flatVolume;
    readout.textContent =
      `hand length ${(1000 * length).toFixed(0)} mm · volume ${(1e6 * volume).toFixed(0)} cm³, ` +
      `${kept.toFixed(1)} % of this hand when flat`;
    clearTimeout(speaking);
    speaking = setTimeout(() => (status.textContent = readout.textContent), 700);
  }

  // Called after every change of the state.
  function changed() {
    angles = hand.angles(state.pose);
    for (const { sync } of sliders) sync();
    if (!drawing) drawing = requestAnimationFrame(draw);
  }

  function measureShape() {
    length = hand.length(state.shape);
    flatVolume = hand.volume(hand.vertices(new Array(45).fill(0), state.shape));
  }

  function stop() {
    cancelAnimationFrame(blending);
    choice.value = "";
  }

  function set(pose, shape = state.shape) {
    const same = state.shape.every((value, k) => value === shape[k]);
    [state.pose, state.shape] = [Array.from(pose), Array.from(shape)];
    if (!same) measureShape();
    changed();
  }

  function blendTo(pose, shape = state.shape) {
    cancelAnimationFrame(blending);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return set(pose, shape);
    const from = { ...state }, start = performance.now();
    const mix = (a, b, t) => a.map((value, n) => value + t * (b[n] - value));
    const step = () => {
      const t = clamp((performance.now() - start) / BLEND_MS, 0, 1), eased = t * t * (3 - 2 * t);
      set(mix(from.pose, pose, eased), mix(from.shape, shape, eased));
      if (t < 1) blending = requestAnimationFrame(step);
    };
    step();
  }

  // -- controls

  function add(label, options) {
    const made = slider(`${root.id}-${sliders.length}`, label, options);
    sliders.push(made);
    return made.row;
  }

  // A synergy moves several angles together: each to a share of its full value, given in degrees. Zeros stay alone.
  function synergy(label, full, low) {
    const used = [...full.keys()].filter((n) => full[n]);
    const square = used.reduce((sum, n) => sum + full[n] ** 2, 0);
    return add(label, {
      low, high: 100, step: 1,
      read: () => (100 * DEGREES * used.reduce((sum, n) => sum + full[n] * angles[n], 0)) / square,
      write: (percent) => {
        stop();
        for (const n of used) hand.turn(state.pose, n, ((percent / 100) * full[n]) / DEGREES - angles[n]);
        changed();
      },
      show: (percent) => `${signed(percent, 0)} %`,
    });
  }

  function angle(label, n) {
    return add(label, {
      low: hand.limits[2 * n], high: hand.limits[2 * n + 1], step: 1,
      read: () => angles[n] * DEGREES,
      write: (degrees) => {
        stop();
        hand.turn(state.pose, n, degrees / DEGREES - angles[n]);
        changed();
      },
      show: (degrees) => `${signed(degrees, 0)}°`,
    });
  }

  const component = (k) =>
    add(k ? `component ${k + 1}` : "component 1: size", {
      low: -3, high: 3, step: 0.1, read: () => state.shape[k],
      write: (value) => {
        stop();
        state.shape[k] = value;
        measureShape();
        changed();
      },
      show: (value) => `${signed(value, 1)} σ`,
    });

  const group = (name, open, ...children) =>
    element("details", open ? { open: "" } : {}, element("summary", {}, name), ...children);

  choice.append(element("option", { value: "", disabled: "" }, "your own"));
  poses.forEach(([name], n) => choice.append(element("option", { value: n }, name)));
  choice.value = "0";

  const buttons = element("div", { class: "buttons" });
  if (samples.length) {
    const next = () => {
      stop();
      sample = (sample + 1) % (samples.length / stride);
      const row = Array.from(samples.subarray(sample * stride, (sample + 1) * stride));
      blendTo(row.slice(0, 45), row.slice(45));
    };
    buttons.append(button("random hand", next));
  }
  const fingers = data.fingers.map(([finger, rows]) => {
    const joints = rows.map(([joint, j]) =>
      element("fieldset", {}, element("legend", {}, `${finger} ${joint}`),
        ...["twist", "flexion", "abduction"].map((name, c) => angle(name, 3 * j + c))));
    return group(finger, false, ...joints);
  });
  const resetShape = () => {
    stop();
    blendTo(state.pose, new Array(10).fill(0));
  };
  const controls = element("div", { class: "controls" },
    element("fieldset", {}, element("legend", {}, "pose"),
      element("div", { class: "control" }, element("label", { for: choice.id }, "named pose"), choice),
      ...data.synergies.map(([name, packed, low]) => synergy(name, unpack(packed), low)), buttons),
    element("fieldset", {}, element("legend", {}, "show"),
      checkbox(`${root.id}-correctives`, "pose correctives", true, (on) => { state.correctives = on; changed(); }),
      checkbox(`${root.id}-skeleton`, "skeleton", false, (on) => { state.skeleton = on; changed(); }),
      element("div", { class: "buttons", role: "group", "aria-label": "side to look at" }, "side:",
        ...Object.entries(VIEWS).map(([name, eye]) => button(name, () => view.look(eye))))),
    group("shape", false, ...state.shape.map((_, k) => component(k)),
      element("div", { class: "buttons" }, button("reset shape", resetShape))),
    group("every joint", false, ...fingers),
  );

  // Keys that move a slider are shortcuts of a notebook, which would take them.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });

  measureShape();
  root.style.setProperty("--height", `${data.height}px`);
  root.replaceChildren(
    element("div", { class: "panes" }, element("div", { class: "stage" }, figure, readout, status), controls),
  );
  for (const { sync } of sliders) sync();
  draw();

  return {
    vertices: (pose, shape, correctives) => hand.vertices(pose, shape, correctives),
    joints: (pose, shape, correctives) => hand.regress(hand.vertices(pose, shape, correctives)),
    set: (pose, shape) => {
      stop();
      set(pose, shape);
    },
    state, view, hand,
  };
}

function startExplorer(id, data) {
  window.handlibExplorers = window.handlibExplorers || {};
  window.handlibExplorers[id] = explore(document.getElementById(id), data);
}
