// Where pictures come from: a file, a sample, the camera.

import { MAX_BYTES, PhotoError, checkSize, damaged, focalPx, inspect } from "./photo_file.js";

export const MOST_PIXELS = 16_700_000; // that a phone's canvas holds; larger photographs are halved

/**
 * @typedef {object} Photograph
 * @property {ImageBitmap | ImageData} picture upright, ready for the worker
 * @property {ImageBitmap} shown the same, for the page
 * @property {number} width of the whole photograph
 * @property {number} height
 * @property {number} reduction by how much `picture` is smaller, along each side
 * @property {number | null} focal_px in pixels of `picture`
 */

/**
 * A file as an upright picture, or a `PhotoError`. Its size is checked before it is decoded.
 * @param {File} file
 * @returns {Promise<Photograph>}
 */
export async function readPhoto(file) {
  const name = file.name || "the picture";
  const facts = inspect(name, file.size, new Uint8Array(await file.slice(0, MAX_BYTES).arrayBuffer()));
  let whole;
  try {
    whole = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw damaged(name);
  }
  const { width, height } = whole;
  checkSize(name, width, height);
  let reduction = 1;
  while (width * height > MOST_PIXELS * reduction ** 2) reduction *= 2;
  const picture = reduction === 1 ? whole : await scaled(whole, width / reduction, height / reduction);
  if (picture !== whole) whole.close();
  const focal = focalPx(facts.exif, width, height);
  return {
    picture: await forWorker(picture),
    shown: await scaled(picture, ...within(picture.width, picture.height, 1600)),
    width, height, reduction,
    focal_px: focal && focal / reduction,
  };
}

/** @param {ImageBitmap} bitmap @param {number} width @param {number} height */
function scaled(bitmap, width, height) {
  const size = { resizeWidth: Math.max(1, Math.round(width)), resizeHeight: Math.max(1, Math.round(height)) };
  return createImageBitmap(bitmap, { ...size, resizeQuality: "high" });
}

/**
 * A size of the same shape whose longer side is at most `most`.
 * @param {number} width @param {number} height @param {number} most
 * @returns {[number, number]}
 */
export function within(width, height, most) {
  const factor = Math.min(1, most / Math.max(width, height));
  return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
}

/**
 * A worker reads the pixels of a bitmap itself, where it has a canvas.
 * @param {ImageBitmap} bitmap
 */
async function forWorker(bitmap) {
  if (typeof OffscreenCanvas !== "undefined") return bitmap;
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const pen = canvas.getContext("2d");
  if (!pen) throw new PhotoError("This browser gives no canvas, so the picture cannot be read.");
  pen.fillStyle = "#808080";
  pen.fillRect(0, 0, bitmap.width, bitmap.height);
  pen.drawImage(bitmap, 0, 0);
  return pen.getImageData(0, 0, bitmap.width, bitmap.height);
}

// ---- the camera

/** What the reader is told when a camera cannot be had. @type {Record<string, string>} */
const REFUSED = {
  NotAllowedError: "The camera was refused. Allow it in the browser's address bar and start it again, or choose a photo.",
  NotFoundError: "No camera was found. Connect one, or choose a photo.",
  NotReadableError: "The camera is in use by another program. Close that one, or choose a photo.",
  OverconstrainedError: "This camera gives no usable picture. Choose a photo instead.",
};

/** @param {unknown} error */
export function cameraSentence(error) {
  const name = error instanceof Error ? error.name : "";
  return REFUSED[name] ?? `The camera did not start (${error instanceof Error ? error.message : error}). Choose a photo instead.`;
}

/** Frames of the webcam, one after the other: the next is taken when the last one was answered. */
export class Camera {
  /**
   * @param {(frame: ImageBitmap | ImageData, first: boolean) => Promise<void>} onFrame first: after a start or a pause
   * @param {(paused: boolean) => void} onPause the tab is hidden, or in sight again
   * @param {(reason: string) => void} onEnd unplugged, or stopped by the browser
   */
  constructor(onFrame, onPause, onEnd) {
    this.onFrame = onFrame;
    this.onPause = onPause;
    this.onEnd = onEnd;
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    /** @type {MediaStream | null} */
    this.stream = null;
    this.mirrored = false;
    this.frames = 0;
  }

  get running() {
    return this.stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new PhotoError("This page may not use a camera: open it over https:// or from a file, or choose a photo.");
    }
    const video = { facingMode: { ideal: "environment" }, width: { ideal: 640 }, height: { ideal: 480 } };
    const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    const [track] = stream.getVideoTracks();
    this.stream = stream;
    this.mirrored = track.getSettings().facingMode !== "environment"; // a camera that looks at its user
    track.onended = () => {
      this.stop();
      this.onEnd("The camera was disconnected. Start it again, or choose a photo.");
    };
    this.video.srcObject = stream;
    await this.video.play();
    this.run(stream);
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  /** @param {MediaStream} stream */
  async run(stream) {
    let first = true;
    while (this.stream === stream) {
      if (document.hidden) {
        this.onPause(true);
        await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
        if (this.stream === stream) this.onPause(false);
        first = true;
        continue;
      }
      await nextFrame(this.video);
      if (this.stream !== stream || document.hidden || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) continue;
      await this.onFrame(await forWorker(await createImageBitmap(this.video)), first);
      first = false;
      this.frames++;
    }
  }
}

/** A new picture of the camera, or a moment without one. @param {HTMLVideoElement} video */
const nextFrame = (video) =>
  new Promise((resolve) => {
    setTimeout(resolve, 500);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
