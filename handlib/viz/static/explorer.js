// The hand explorer of handlib.viz.widgets: skins a hand in the page (live/hand.js) and draws it with plotly.js, the only
// library it needs.
//
// `startExplorer(id, data)` fills the element with that id. The page can then call window.handlibExplorers[id]:
//   vertices(pose, shape, correctives = true)  778 × 3 metres in the model's frame, one row after the other
//   joints(pose, shape, correctives = true)    21 × 3 metres, C21 order
//   set(pose, shape)                           shows that hand
//   state                                      what is shown: pose, shape, correctives, skeleton
// `pose` is 45 radians, axis-angle in MANO's joint order, and `shape` 10 standard deviations, as in Python.

// @ts-nocheck: not annotated
import { Hand } from "./live/hand.js";

const DEGREES = 180 / Math.PI;
const BLEND_MS = 400; // from one named pose to the next
const ORBIT_STEP = 10 / DEGREES; // an arrow key turns the camera by so much
const UP = { x: 0, y: 1, z: 0 };
const VIEWS = {
  back: { x: -0.45, y: 0.15, z: 1.12 },
  palm: { x: -0.45, y: 0.15, z: -1.12 },
  thumb: { x: -1.16, y: 0.15, z: 0.33 },
};
const TYPES = { f4: Float32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };

const unpack = ([type, text]) => new TYPES[type](Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// A number as it is printed, with a true minus and no "−0".
const signed = (value, digits) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace("-", "");

// ---- small parts of the page

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

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

function checkbox(id, label, checked, write) {
  const input = element("input", { id, type: "checkbox", onchange: () => write(input.checked) });
  input.checked = checked;
  return element("label", { for: id, class: "check" }, input, label);
}

// ---- the explorer

export function explore(root, data, Plotly) {
  const arrays = Object.entries(data.hand).map(([name, value]) => [name, Array.isArray(value) ? unpack(value) : value]);
  const hand = new Hand(Object.fromEntries(arrays));
  const poses = data.poses.map(([name, packed]) => [name, Array.from(unpack(packed))]);
  const samples = unpack(data.samples), stride = 55;
  const state = { pose: [...poses[0][1]], shape: new Array(10).fill(0), correctives: true, skeleton: false };
  const sliders = [];
  let blending = 0, drawing = 0, speaking = 0, sample = -1, length = 0, flatVolume = 0;
  let angles = hand.angles(state.pose);

  const figure = element("div", { class: "plotly-graph-div scene", tabindex: 0, role: "group" });
  figure.setAttribute("aria-label", "A hand in three dimensions; drag it or press the arrow keys to turn it.");
  const readout = element("p", { class: "readout", "aria-hidden": "true" });
  const status = element("p", { class: "spoken", role: "status", "aria-live": "polite" });
  const choice = element("select", { id: `${root.id}-pose`, onchange: () => blendTo(poses[choice.value][1]) });

  // Fingers up and the back of the hand to the reader: x, y, z of the figure are −z, −x, y of the model.
  function columns(points, rows = points.length / 3) {
    const [x, y, z] = [0, 1, 2].map(() => new Float32Array(rows));
    for (let n = 0; n < rows; n++) [x[n], y[n], z[n]] = [-points[3 * n + 2], -points[3 * n], points[3 * n + 1]];
    return [x, y, z];
  }

  // One line of five joints a finger; a gap (NaN) keeps fingers apart.
  const chain = [0, 1, 2, 3, 4].flatMap((finger) => [0, 1, 2, 3, 4, NaN].map((n) => (n ? 4 * finger + n : n)));
  const at = (joints) => chain.flatMap((j) => [0, 1, 2].map((c) => joints[3 * j + c]));
  const bonePoints = (joints) => columns(Float32Array.from(at(joints)));

  function shown() {
    const vertices = hand.vertices(state.pose, state.shape, state.correctives);
    return { vertices, joints: hand.regress(vertices) };
  }

  function draw() {
    drawing = 0;
    const { vertices, joints } = shown();
    const parts = state.skeleton ? [columns(vertices), bonePoints(joints)] : [columns(vertices)];
    const [x, y, z] = [0, 1, 2].map((c) => parts.map((part) => part[c]));
    Plotly.restyle(figure, { x, y, z }, state.skeleton ? [0, 1] : [0]);
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

  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const group = (name, open, ...children) =>
    element("details", open ? { open: "" } : {}, element("summary", {}, name), ...children);

  function restyle() {
    const opacity = state.skeleton ? 0.45 : 1;
    Plotly.restyle(figure, { opacity: [opacity, 1], visible: [true, state.skeleton] }, [0, 1]);
    changed();
  }

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
      checkbox(`${root.id}-skeleton`, "skeleton", false, (on) => { state.skeleton = on; restyle(); }),
      element("div", { class: "buttons", role: "group", "aria-label": "side to look at" }, "side:",
        ...Object.entries(VIEWS).map(([name, eye]) => button(name, () => look({ ...eye }))))),
    group("shape", false, ...state.shape.map((_, k) => component(k)),
      element("div", { class: "buttons" }, button("reset shape", resetShape))),
    group("every joint", false, ...fingers),
  );

  function look(eye) {
    Plotly.relayout(figure, { "scene.camera": { up: UP, eye } });
  }

  function orbit(event) {
    const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!(event.key in turns) || event.target !== figure) return;
    const [around, over] = turns[event.key];
    event.preventDefault();
    const { eye } = figure.layout.scene.camera; // plotly keeps it up to date while the figure is dragged
    const radius = Math.hypot(eye.x, eye.y, eye.z);
    const azimuth = Math.atan2(eye.x, eye.z) + around * ORBIT_STEP;
    const elevation = clamp(Math.asin(eye.y / radius) + over * ORBIT_STEP, -1.5, 1.5);
    const flat = radius * Math.cos(elevation);
    const turned = { x: flat * Math.sin(azimuth), y: radius * Math.sin(elevation), z: flat * Math.cos(azimuth) };
    look(turned);
  }
  figure.addEventListener("keydown", orbit);
  // Keys that move a slider are shortcuts of a notebook, which would take them.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });

  measureShape();
  root.classList.remove("plotly-graph-div"); // that is the figure inside
  root.style.setProperty("--height", `${data.height}px`);
  root.replaceChildren(
    element("div", { class: "panes" }, element("div", { class: "stage" }, figure, readout, status), controls),
  );
  for (const { sync } of sliders) sync();
  const first = shown();
  const [x, y, z] = columns(first.vertices), [bx, by, bz] = bonePoints(first.joints);
  const corner = (k) => hand.faces.filter((_, n) => n % 3 === k);
  const axis = (center) => ({ visible: false, type: "linear", range: [center - data.span, center + data.span] });
  const bytes = unpack(data.colors);
  const skin = Array.from(x, (_, v) => `rgb(${bytes.subarray(3 * v, 3 * v + 3).join()})`);
  const colors = chain.map((_, n) => data.fingerColors[Math.floor(n / 6)]);
  const drawn = Plotly.newPlot(
    figure,
    [
      { type: "mesh3d", x, y, z, i: corner(0), j: corner(1), k: corner(2), vertexcolor: skin, hoverinfo: "skip",
        lighting: data.lighting, lightposition: data.lightposition },
      { type: "scatter3d", x: bx, y: by, z: bz, mode: "lines+markers", visible: false, hoverinfo: "skip",
        line: { color: colors, width: 5 }, marker: { color: colors, size: 3 } },
    ],
    { margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
      scene: { aspectmode: "cube", dragmode: "orbit", hovermode: false, bgcolor: "rgba(0,0,0,0)",
               camera: { up: UP, eye: { ...VIEWS.back } },
               xaxis: axis(data.center[0]), yaxis: axis(data.center[1]), zaxis: axis(data.center[2]) } },
    // Pixels as fine as the screen's and no finer: plotly would draw four for each on most laptops.
    { displayModeBar: false, plotGlPixelRatio: Math.min(window.devicePixelRatio, 2) },
  );
  describe(first.vertices);
  // An output may be laid out after it was filled, and columns change with the width.
  new ResizeObserver(() => figure.offsetWidth && Plotly.Plots.resize(figure)).observe(figure);

  return {
    vertices: (pose, shape, correctives) => hand.vertices(pose, shape, correctives),
    joints: (pose, shape, correctives) => hand.regress(hand.vertices(pose, shape, correctives)),
    set: (pose, shape) => {
      stop();
      set(pose, shape);
    },
    state, drawn, hand,
  };
}

// plotly.js: the page's own where it has one, else the published file of that version.
function loadPlotly(url, integrity) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  return new Promise((resolve, reject) => {
    const script = element("script", { src: url, integrity, crossorigin: "anonymous" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error(url));
    document.head.append(script);
  });
}

function startExplorer(id, data) {
  const root = document.getElementById(id);
  loadPlotly(data.plotly.url, data.plotly.integrity).then(
    (Plotly) => {
      window.handlibExplorers = window.handlibExplorers || {};
      window.handlibExplorers[id] = explore(root, data, Plotly);
    },
    (error) => {
      root.textContent =
        `plotly.js could not be loaded from ${error.message}. ` +
        "Without a network, write hand_explorer(hand, include_plotlyjs=True).";
    },
  );
}
