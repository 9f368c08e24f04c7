// "Your hand": a picture in, the meshes of its hands out, all of it in the reader's browser.
//
// `startLive(root, data)` fills an element. What it needs comes with it or by scripts of the page that holds it, since
// file:// allows nothing else; once they are there, nothing is asked of any network.

import { element, explore } from "../explorer.js";
import { EngineClient } from "./client.js";
import { Method, meanDistance } from "./method.js";
import { toGlb, toJson, toObj, upright } from "./save.js";
import { Camera, cameraSentence, readPhoto } from "./sources.js";
import { PhotoError } from "./photo_file.js";
import { Stage } from "./stage.js";
import { plotlyLike } from "./turn_view.js";
import { handInWords, handsInWords } from "./words.js";

/** @typedef {import("./engine.js").Estimate} Estimate */
/** @typedef {import("./sources.js").Photograph} Photograph */
/**
 * @typedef {object} LiveData
 * @property {string} worker script of the worker
 * @property {any} explorer as hand_explorer packs it
 * @property {{alt: string, jpeg: string}[]} samples pictures of rendered hands, in base64
 */

const SPEAK_MS = 900; // that an estimate stays the same before it is said aloud
const PRIVATE = "Your pictures stay in this page. Once it has loaded, it sends nothing and asks for nothing.";

/**
 * @param {HTMLElement} root
 * @param {LiveData} data
 * @param {Promise<string>} pack the engine's file in base64, once it is there
 */
export function startLive(root, data, pack) {
  const client = new EngineClient(data.worker);
  /** @type {Estimate | null} */
  let estimate = null;
  /** @type {Estimate | null} */
  let whole = null; // the same photograph with no part left out
  /** @type {Photograph | null} */
  let photograph = null;
  /** @type {import("./stage.js").Model} */
  let model;
  let chosen = 0, step = -1, turn = 0, speaking = 0, spoken = "";
  const shown = { mesh: true, skeleton: true, landmarks: false };

  // ---- what is on the page

  const stage = new Stage();
  const method = new Method(root.id, again, (n) => { step = n; draw(); });
  const words = element("p", { class: "words" }, "Loading the networks …");
  const status = element("p", { class: "spoken", role: "status", "aria-live": "polite" });
  const button = (/** @type {string} */ label, /** @type {() => void} */ onclick) => element("button", { type: "button", onclick }, label);

  const file = element("input", { id: `${root.id}-file`, type: "file", accept: "image/*", class: "hidden-file" });
  const take = element("input", { id: `${root.id}-take`, type: "file", accept: "image/*", capture: "environment", class: "hidden-file take" });
  for (const input of [file, take]) {
    input.addEventListener("change", () => {
      if (input.files?.[0]) open(input.files[0]);
      input.value = ""; // the same file may be chosen again
    });
  }
  const start = button("start the camera", () => (camera.running ? stopCamera() : startCamera()));
  const inputs = element("div", { class: "buttons" },
    file, element("label", { for: file.id, class: "button" }, "choose a photo"),
    take, element("label", { for: take.id, class: "button take" }, "take a photo"), start);
  const samples = element("div", { class: "buttons samples", role: "group", "aria-label": "pictures of rendered hands" },
    ...data.samples.map(({ alt, jpeg }) => {
      // The class keeps the book's dark theme from laying pictures on white.
      const picture = element("img", { src: `data:image/jpeg;base64,${jpeg}`, alt, class: "dark-light" });
      return element("button", { type: "button", onclick: () => open(sampleFile(jpeg, alt)) }, picture);
    }));

  const which = element("div", { class: "buttons which", role: "group", "aria-label": "the hand that turns" });
  const show = element("div", { class: "buttons" }, ...Object.keys(shown).map((name) => {
    const key = /** @type {keyof typeof shown} */ (name);
    const input = element("input", { id: `${root.id}-${key}`, type: "checkbox" });
    input.checked = shown[key];
    input.addEventListener("change", () => { shown[key] = input.checked; draw(); });
    return element("label", { for: input.id, class: "check" }, input, key);
  }));
  const saves = element("div", { class: "buttons" }, "save:",
    button("OBJ", () => save("obj", () => toObj(meshes()))),
    button("GLB", () => save("glb", () => toGlb(meshes()))),
    button("JSON", () => save("json", () => described())));
  const mover = element("div", { id: `${root.id}-explorer`, class: "handlib-explorer" });
  const explorer = explore(mover, data.explorer, plotlyLike);
  const move = element("details", {}, element("summary", {}, "Move this hand"),
    element("p", {}, "The sliders start at the estimate. A left hand is shown as its mirror image."), mover);
  move.addEventListener("toggle", handOver);

  root.replaceChildren(
    element("p", { class: "private" }, PRIVATE), inputs, samples, words, status, stage.root,
    element("div", { class: "under" }, show, which, saves), method.root, move);
  if (!stage.draws) say("This browser has no WebGL: skeletons are drawn, meshes are not.");

  root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("dropping"); });
  root.addEventListener("dragleave", () => root.classList.remove("dropping"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("dropping");
    const dropped = event.dataTransfer?.files[0];
    if (dropped) open(dropped);
    else say("That was no file. Drop a photo from a folder.");
  });

  // ---- the engine

  const ready = pack.then((text) => client.ask("load", { pack: text })).then((loaded) => {
    model = loaded.hand;
    root.classList.add("ready");
    if (!photograph && !camera.running) {
      say(`Choose a photo with a hand in it${data.samples.length ? ", or one of the rendered hands" : ""}.` +
        (loaded.simd ? "" : " This browser has no WebAssembly SIMD, so it takes some seconds."));
    }
  });
  ready.catch((error) => say(`The networks could not be loaded (${error.message}). Reload the page.`));

  /** @param {File} chosenFile */
  async function open(chosenFile) {
    const mine = ++turn;
    stopCamera();
    say(`Reading ${chosenFile.name} …`);
    try {
      const read = await readPhoto(chosenFile);
      if (mine !== turn) return read.shown.close();
      photograph = read;
      whole = null;
      stage.mirror(false);
      stage.show(read.shown);
      forget();
      say("Looking for hands …");
      await ready;
      const { picture, focal_px } = read;
      const asked = { picture, options: { ...method.options, focal_px } };
      const answer = await client.ask("photo", asked, picture instanceof ImageBitmap ? [picture] : [picture.data.buffer]);
      if (mine === turn) arrived(answer.estimate);
    } catch (error) {
      if (mine === turn) failed(error);
    }
  }

  // The same photograph with other parts left out; the camera's next frame has them left out anyway.
  async function again() {
    if (camera.running || !photograph || !estimate) return;
    const mine = ++turn;
    try {
      const { estimate: next } = await client.ask("again", { options: { ...method.options, focal_px: photograph.focal_px } });
      if (mine === turn) arrived(next);
    } catch (error) {
      if (mine === turn) failed(error);
    }
  }

  /** @param {Estimate} next */
  function arrived(next) {
    estimate = next;
    if (method.whole) whole = next;
    chosen = Math.min(chosen, Math.max(next.hands.length - 1, 0));
    say(handsInWords(next.hands));
    method.time(next.times);
    choose(chosen, !camera.running);
    if (!camera.running && next.hands.length) method.play();
  }

  function forget() {
    estimate = null;
    method.set([]);
    draw();
  }

  /** @param {unknown} error */
  function failed(error) {
    say(error instanceof PhotoError ? error.message
      : `This picture could not be estimated (${error instanceof Error ? error.message : error}). Try another.`);
  }

  // ---- the camera

  const camera = new Camera(frame, (paused) => say(paused ? "Paused while this page is out of sight." : "Going on."), (reason) => {
    cameraEnded();
    say(reason);
  });

  async function startCamera() {
    turn++;
    say("Asking for the camera …");
    try {
      await Promise.all([camera.start(), ready]);
      photograph = whole = null;
      stage.mirror(camera.mirrored);
      forget();
      start.textContent = "stop the camera";
      say("Show a hand to the camera.");
    } catch (error) {
      camera.stop();
      say(error instanceof PhotoError ? error.message : cameraSentence(error));
    }
  }

  function stopCamera() {
    if (!camera.running) return;
    camera.stop();
    cameraEnded();
    say("The camera is off.");
  }

  function cameraEnded() {
    start.textContent = "start the camera";
  }

  /** @param {ImageBitmap | ImageData} picture @param {boolean} first */
  async function frame(picture, first) {
    const mine = turn;
    try {
      await ready;
      const { estimate: next, picture: back } = await client.ask(
        "frame", { picture, options: method.options, first }, picture instanceof ImageBitmap ? [picture] : []);
      if (mine !== turn || !camera.running) return back instanceof ImageBitmap ? back.close() : undefined;
      stage.show(back);
      arrived(next);
    } catch (error) {
      stopCamera();
      failed(error);
    }
  }

  // ---- an estimate is shown

  /** @param {number} hand @param {boolean} stepwise */
  function choose(hand, stepwise = true) {
    chosen = hand;
    const hands = estimate?.hands ?? [];
    const labels = hands.map((one) => `${one.side} hand`);
    if (which.textContent !== (labels.length > 1 ? labels.join("") : "")) {
      which.replaceChildren(...(labels.length > 1 ? labels.map((label, n) => button(label, () => choose(n))) : []));
    }
    for (const [n, one] of [...which.children].entries()) one.setAttribute("aria-pressed", String(n === hand));
    step = -1;
    method.set(stepwise && hands[hand] ? hands[hand].stages : []);
    const before = whole?.hands[hand];
    method.compare(before && hands[hand]?.side === before.side ? meanDistance(hands[hand].vertices_cam, before.vertices_cam) : null);
    saves.classList.toggle("off", !hands.length);
    draw();
    handOver();
  }

  function draw() {
    const hands = estimate?.hands ?? [];
    const posed = hands.map((hand) => ({ hand, ...(hand.stages[step] ?? hand) }));
    const scale = photograph ? stage.picture.width / (photograph.width / photograph.reduction) : 1;
    stage.draw(posed, estimate?.K ?? [1, 0, 0, 0, 1, 0, 0, 0, 1], scale, model, shown, chosen);
    const name = !stage.shown ? "No picture yet." : `The picture, and drawn over it: ${hands.map(handInWords).join("; ") || "no hand"}.`;
    if (stage.picture.getAttribute("aria-label") !== name) stage.picture.setAttribute("aria-label", name);
  }

  function handOver() {
    const hand = estimate?.hands[chosen];
    if (hand && /** @type {HTMLDetailsElement} */ (move).open) explorer.set(hand.h.slice(0, 45), hand.h.slice(45, 55));
  }

  // Seen at once; said aloud when it has stayed the same for a moment.
  /** @param {string} text */
  function say(text) {
    if (words.textContent === text) return;
    words.textContent = text;
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      if (spoken !== text) status.textContent = spoken = text;
    }, SPEAK_MS);
  }

  // ---- saving

  const meshes = () =>
    (estimate?.hands ?? []).map((hand) =>
      ({ vertices: upright(hand.vertices_cam), faces: model[hand.side], colors: model.colors, name: `${hand.side} hand` }));

  function described() {
    const { hands, K, assumed } = /** @type {Estimate} */ (estimate);
    const f = photograph?.reduction ?? 1, size = photograph ?? stage.picture;
    const enlarged = hands.map((hand) => ({ ...hand, joints_px: hand.joints_px.map((value) => f * value) }));
    const camera = Array.from(K ?? [], (value, n) => (n < 6 ? f * value : value));
    return toJson({ hands: enlarged, K: camera, assumed }, size, model.jointNames, (shape) => explorer.hand.restJoints(Array.from(shape)));
  }

  /** @param {string} suffix @param {() => BlobPart} content */
  function save(suffix, content) {
    if (!estimate?.hands.length) return say("There is no hand to save yet.");
    const url = URL.createObjectURL(new Blob([content()]));
    const link = element("a", { href: url, download: `hand.${suffix}` });
    root.append(link); // Firefox wants it on the page
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  return { client, ready, open, camera, stage, explorer, get estimate() { return estimate; } };
}

/** @param {string} jpeg in base64 @param {string} name */
const sampleFile = (jpeg, name) =>
  new File([Uint8Array.from(atob(jpeg), (c) => c.charCodeAt(0))], name, { type: "image/jpeg" });
