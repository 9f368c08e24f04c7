// "Your hand": a picture in, the meshes of its hands out, all of it in the reader's browser.
//
// `startLive(root, data)` fills an element. What it needs comes with it or by scripts of the page that holds it, since
// file:// allows nothing else; once they are there, nothing is asked of any network.

import { button, element } from "../dom.js";
import { explore } from "../explorer.js";
import { EngineClient } from "./client.js";
import { Method, meanDistance } from "./method.js";
import { toGlb, toJson, toObj, upright } from "./save.js";
import { Camera, cameraSentence, readPhoto } from "./sources.js";
import { PhotoError } from "./photo_file.js";
import { Stage } from "./stage.js";
import { handsInWords } from "./words.js";

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
  /** @type {string[]} */
  let jointNames = [];
  let turn = 0, speaking = 0, spoken = "";
  let waiting = 0; // the turn in which a photo is read or the camera asked for
  let asking = false; // for the camera

  // ---- what is on the page

  const method = new Method(root.id, again, (n) => stage.draw(atStep(n)));
  const words = element("p", { class: "words" }, "Loading the networks …");
  const status = element("p", { class: "spoken", role: "status", "aria-live": "polite" });

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

  const saves = element("div", { class: "buttons" }, "save:",
    button("OBJ", () => save("obj", () => toObj(meshes()))),
    button("GLB", () => save("glb", () => toGlb(meshes()))),
    button("JSON", () => save("json", () => described())));
  const mover = element("div", { id: `${root.id}-explorer`, class: "handlib-explorer" });
  const explorer = explore(mover, data.explorer);
  const move = element("details", {}, element("summary", {}, "Move this hand"),
    element("p", {}, "The sliders start at the estimate. A left hand is shown as its mirror image."), mover);
  move.addEventListener("toggle", handOver);
  const stage = new Stage(root.id, { mesh: true, skeleton: true, landmarks: false }, chosenHand);

  root.replaceChildren(
    element("p", { class: "private" }, PRIVATE), inputs, samples, words, status, stage.root,
    element("div", { class: "under" }, stage.show, stage.which, saves), method.root, move);
  chosenHand(0);
  if (!stage.view.works) say("This browser has no WebGL: skeletons are drawn, meshes are not.");

  root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("dropping"); });
  root.addEventListener("dragleave", () => root.classList.remove("dropping"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("dropping");
    const dropped = event.dataTransfer?.files[0];
    if (dropped) open(dropped);
    else say("That was no file. Drop a photo from a folder.");
  });
  addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData?.files[0]) open(clipboardData.files[0]);
  });

  // ---- the engine

  const ready = pack.then((text) => client.ask("load", { pack: text })).then((loaded) => {
    stage.model = loaded.hand;
    jointNames = loaded.hand.jointNames;
    root.classList.add("ready");
    if (!photograph && !camera.running) {
      say(`Choose, drop or paste a photo with a hand in it${data.samples.length ? ", or one of the rendered hands" : ""}.` +
        (loaded.simd ? "" : " This browser has no WebAssembly SIMD, so it takes some seconds."));
    }
  }).catch((error) => {
    throw new PhotoError(`The networks could not be loaded (${error.message}). Reload the page.`);
  });
  ready.catch(failed);

  /** @param {File} chosenFile */
  async function open(chosenFile) {
    stopCamera();
    const mine = waiting = ++turn;
    say(`Reading ${chosenFile.name} …`);
    try {
      const read = await readPhoto(chosenFile).finally(() => { if (waiting === mine) waiting = 0; });
      if (mine !== turn) return read.shown.close();
      photograph = read;
      whole = null;
      stage.mirror(false);
      stage.hold(read.shown);
      forget();
      say("Looking for hands …");
      await ready;
      if (mine !== turn) return;
      const { picture, focal_px } = read, { options, whole: all } = method;
      const asked = { picture, options: { ...options, focal_px } };
      const moved = picture instanceof ImageBitmap ? [picture] : [picture.data.buffer];
      const answer = await client.ask("photo", asked, moved, (first) => { if (mine === turn) arrived(first, true, all); });
      if (mine !== turn) return;
      arrived(answer.estimate, false, all);
      if (JSON.stringify(options) !== JSON.stringify(method.options)) again();
    } catch (error) {
      if (mine === turn) failed(error);
    }
  }

  // The same photograph with other parts left out; the camera's next frame has them left out anyway.
  async function again() {
    if (camera.running || waiting === turn || !photograph || !estimate) return;
    const mine = ++turn;
    try {
      const { estimate: next } = await client.ask("again", { options: { ...method.options, focal_px: photograph.focal_px } });
      if (mine === turn) arrived(next);
    } catch (error) {
      if (mine === turn) failed(error);
    }
  }

  /** @param {Estimate} next @param {boolean} more others are still being looked for @param {boolean} all no part is left out */
  function arrived(next, more = false, all = method.whole) {
    estimate = next;
    if (all) whole = next;
    say(`${handsInWords(next.hands)}${more ? " Looking for another …" : ""}`);
    method.time(next.times);
    stage.set(next.hands, next.K, photograph ? (stage.picture.width * photograph.reduction) / photograph.width : 1);
    if (!more && !camera.running && next.hands.length) method.play();
  }

  function forget() {
    estimate = null;
    stage.set([]);
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
    if (asking) return; // of two streams, one would never be stopped
    asking = true;
    const mine = waiting = ++turn;
    say("Asking for the camera …");
    try {
      await camera.start();
      await ready;
      if (mine !== turn) return camera.stop();
      photograph = whole = null;
      stage.mirror(camera.mirrored);
      forget();
      start.textContent = "stop the camera";
      say("Show a hand to the camera.");
    } catch (error) {
      camera.stop();
      if (mine === turn) say(error instanceof PhotoError ? error.message : cameraSentence(error));
    } finally {
      asking = false;
      if (waiting === mine) waiting = 0;
    }
  }

  function stopCamera() {
    if (!camera.running) return;
    camera.stop();
    cameraEnded();
    say("The camera is off.");
  }

  function cameraEnded() {
    turn++;
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
      stage.hold(back);
      arrived(next);
    } catch (error) {
      stopCamera();
      failed(error);
    }
  }

  // ---- an estimate is shown

  /** @param {number} n */
  function chosenHand(n) {
    const hand = estimate?.hands[n], before = whole?.hands[n];
    method.set(hand && !camera.running ? hand.stages : []);
    method.compare(before && hand?.side === before.side ? meanDistance(hand.vertices_cam, before.vertices_cam) : null);
    for (const save of saves.children) save.setAttribute("aria-disabled", String(!hand));
    handOver();
  }

  /** The hands as they are at a step of the one that turns. @param {number} n */
  const atStep = (n) => (estimate?.hands ?? []).map((hand) => hand.stages[n] ?? hand);

  function handOver() {
    const hand = estimate?.hands[stage.chosen];
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

  function meshes() {
    const model = /** @type {import("./stage.js").Model} */ (stage.model);
    return (estimate?.hands ?? []).map((hand) =>
      ({ vertices: upright(hand.vertices_cam), faces: model[hand.side], colors: model.colors, name: `${hand.side} hand` }));
  }

  function described() {
    const { hands, K, assumed } = /** @type {Estimate} */ (estimate);
    const f = photograph?.reduction ?? 1, size = photograph ?? stage.picture;
    const enlarged = hands.map((hand) => ({ ...hand, joints_px: hand.joints_px.map((value) => f * value) }));
    const camera = Array.from(K ?? [], (value, n) => (n < 6 ? f * value : value));
    return toJson({ hands: enlarged, K: camera, assumed }, size, jointNames, (shape) => explorer.hand.restJoints(Array.from(shape)));
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
