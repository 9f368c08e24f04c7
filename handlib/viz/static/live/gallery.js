// The page of `handlib predict`: each photograph with its hands' meshes over it, and beside it one that turns.
//
// The page holds a picture for each photograph, which is all that is seen without a script. A stage takes its place
// while it is near the window: a hundred at once would take a phone's memory.

import { unpack } from "../dom.js";
import { Stage } from "./stage.js";

/**
 * @typedef {object} GalleryData as photo/gallery.py packs it
 * @property {Record<"right" | "left" | "colors", any>} model of faces and colors; not looked at where there is no hand
 * @property {{K: number[], reduced: number, hands: Record<string, any>[]}[]} photographs
 */

const NEAR = "100% 0px"; // a window's height above and below

/** @param {HTMLElement} root @param {GalleryData} data */
export function startGallery(root, data) {
  /** @type {any} */
  const model = unpacked(data.model);
  const sections = [...root.querySelectorAll("section")];
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const n = sections.indexOf(/** @type {HTMLElement} */ (target));
      if (isIntersecting) open(n);
      else close(n);
    }
  }, { rootMargin: NEAR });
  /** @type {Map<number, {stage: Stage, parts: HTMLElement[]}>} */
  const stages = new Map();

  /** @param {number} n */
  async function open(n) {
    if (stages.has(n)) return;
    const stage = new Stage(`${root.id}-${n}`, { mesh: true, skeleton: true });
    const under = document.createElement("div");
    under.className = "under";
    under.append(stage.show, stage.which);
    stages.set(n, { stage, parts: [stage.root, under] });
    const image = /** @type {HTMLImageElement} */ (sections[n].querySelector("img"));
    await image.decode();
    const picture = await createImageBitmap(image);
    if (stages.get(n)?.stage !== stage) return picture.close(); // it was closed meanwhile
    const { K, reduced, hands } = data.photographs[n];
    stage.model = model;
    stage.hold(picture);
    image.hidden = true;
    sections[n].style.minHeight = "";
    image.after(stage.root, under);
    stage.set(hands.map((hand) => /** @type {any} */ (unpacked(hand))), K, reduced);
  }

  /** @param {number} n */
  function close(n) {
    const open = stages.get(n);
    if (!open) return;
    stages.delete(n);
    sections[n].style.minHeight = `${sections[n].offsetHeight}px`; // what is read stays where it is
    /** @type {HTMLImageElement} */ (sections[n].querySelector("img")).hidden = false;
    for (const part of open.parts) part.remove();
    if (open.stage.held instanceof ImageBitmap) open.stage.held.close();
  }

  sections.forEach((section, n) => data.photographs[n].hands.length && observer.observe(section));
  return { stages };
}

/** Arrays among the fields of an object, each from its text. @param {Record<string, any>} fields */
const unpacked = (fields) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, typeof value === "string" ? value : unpack(value)]));
