// A reader's file, judged by its header before anything is decoded: kind, size in pixels, focal length.
//
// Limits and rules are those of handlib/support/images.py. Nothing here touches the page, so node can test it.

export const MAX_BYTES = 64 << 20;
export const MAX_PIXELS = 80_000_000;
export const MAX_SIDE = 32_768;
const ACCEPTED = "Choose a JPEG, PNG, WebP, GIF, BMP or AVIF.";

/** A file that cannot be used; its message is what the reader is told. */
export class PhotoError extends Error {}

/**
 * @typedef {object} PhotoFacts what the header of a file says
 * @property {string} kind
 * @property {number} width as stored, 0 where the kind's header was not read
 * @property {number} height
 * @property {ExifTags} exif
 *
 * @typedef {object} ExifTags EXIF values by the names of the standard; 0 where they are missing
 * @property {number} orientation 1 to 8
 * @property {number} equivalent FocalLengthIn35mmFilm
 * @property {number} focal FocalLength, in millimeters
 * @property {number} resolution FocalPlaneXResolution
 * @property {number} unit FocalPlaneResolutionUnit
 * @property {number} side the larger of PixelXDimension and PixelYDimension
 */

/**
 * Facts of a file, or a `PhotoError` that names the file and the mend.
 * @param {string} name
 * @param {number} bytes size of the whole file
 * @param {Uint8Array} head the file, or its beginning: in a JPEG, metadata of any length stand before the size
 * @returns {PhotoFacts}
 */
export function inspect(name, bytes, head) {
  if (!bytes) throw new PhotoError(`${name} is empty. ${ACCEPTED}`);
  if (bytes > MAX_BYTES) {
    throw new PhotoError(
      `${name} has ${Math.ceil(bytes / 2 ** 20)} MB; at most ${MAX_BYTES >> 20} are read. Scale the picture down.`,
    );
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const kind = kindOf(head);
  if (kind === "HEIC") throw new PhotoError(`${name} is HEIC, which browsers cannot read. Export it as JPEG.`);
  if (!kind) throw new PhotoError(`${name} is not a picture that can be read here. ${ACCEPTED}`);
  let facts;
  try {
    facts = { kind, exif: noExif(), ...HEADERS[kind]?.(view) };
  } catch (error) {
    if (error instanceof RangeError) throw damaged(name); // the header points behind its end
    throw error;
  }
  const { width = 0, height = 0 } = facts;
  if (HEADERS[kind]) checkSize(name, width, height);
  return { ...facts, width, height };
}

/** @param {string} name */
export const damaged = (name) => new PhotoError(`${name} is damaged: it cannot be decoded. Save it again, or choose another.`);

/**
 * @param {string} name
 * @param {number} width
 * @param {number} height
 */
export function checkSize(name, width, height) {
  if (!width || !height) throw damaged(name);
  if (width * height > MAX_PIXELS || Math.max(width, height) > MAX_SIDE) {
    const most = `${MAX_PIXELS / 1e6} megapixels and ${MAX_SIDE} pixels a side`;
    throw new PhotoError(`${name} has ${width} × ${height} pixels; at most ${most} are read. Scale it down.`);
  }
}

/**
 * The focal length in pixels that EXIF tells, of the upright photograph; null where it does not tell.
 * @param {ExifTags} exif
 * @param {number} width
 * @param {number} height
 */
export function focalPx(exif, width, height) {
  const longer = Math.max(width, height);
  let focal = (exif.equivalent * Math.hypot(width, height)) / Math.hypot(36, 24);
  if (!focal) {
    /** @type {Record<number, number>} */
    const units = { 2: 25.4, 3: 10, 4: 1, 5: 1e-3 };
    const unit = units[exif.unit || 2];
    focal = unit ? (exif.focal * exif.resolution) / unit : 0;
    focal *= longer / (exif.side || longer); // the resolution is the sensor's
  }
  return focal / longer > 0.2 && focal / longer < 50 ? focal : null;
}

// ---- headers

/** @param {Uint8Array} head */
function kindOf(head) {
  const text = (/** @type {number} */ from, /** @type {number} */ to) => String.fromCharCode(...head.subarray(from, to));
  if (text(0, 3) === "\xff\xd8\xff") return "JPEG";
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") return "PNG";
  if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") return "WebP";
  if (text(0, 6) === "GIF87a" || text(0, 6) === "GIF89a") return "GIF";
  if (text(0, 2) === "BM") return "BMP";
  if (text(4, 12) === "ftypavif") return "AVIF";
  if (["ftypheic", "ftypheix", "ftyphevc", "ftypmif1"].includes(text(4, 12))) return "HEIC";
  return "";
}

/** Width and height of each kind but AVIF. @type {Record<string, (view: DataView) => Partial<PhotoFacts>>} */
const HEADERS = {
  JPEG: jpeg,
  PNG: (view) => ({ width: view.getUint32(16), height: view.getUint32(20) }),
  GIF: (view) => ({ width: view.getUint16(6, true), height: view.getUint16(8, true) }),
  BMP: (view) => ({ width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)) }),
  WebP: webp,
};

/** @param {DataView} view */
function webp(view) {
  const chunk = view.getUint32(12);
  if (chunk === 0x56503858) { // VP8X
    const three = (/** @type {number} */ at) => view.getUint16(at, true) + (view.getUint8(at + 2) << 16) + 1;
    return { width: three(24), height: three(27) };
  }
  if (chunk === 0x5650384c) { // VP8L
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
  }
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

/**
 * From segment to segment up to the frame, whose header has the size; APP1 may hold EXIF.
 * @param {DataView} view
 */
function jpeg(view) {
  let exif = noExif();
  for (let at = 2; ; ) {
    if (view.getUint8(at) !== 0xff) throw new RangeError("no marker");
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) { at += 1; continue; } // a fill byte
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5), exif };
    }
    if (marker === 0xda || marker === 0xd9) throw new RangeError("no frame");
    const length = view.getUint16(at + 2);
    if (length < 2) throw new RangeError("no length");
    if (marker === 0xe1 && view.getUint32(at + 4) === 0x45786966) {
      const from = view.byteOffset + at + 10, end = Math.min(from + length - 8, view.byteOffset + view.byteLength);
      if (end > from) exif = readExif(new DataView(view.buffer, from, end - from));
    }
    at += 2 + length;
  }
}

const noExif = () => ({ orientation: 1, equivalent: 0, focal: 0, resolution: 0, unit: 0, side: 0 });

/**
 * The tags that matter here; damaged ones count as missing.
 * @param {DataView} view from the byte order on
 * @returns {ExifTags}
 */
function readExif(view) {
  const exif = noExif();
  try {
    const little = view.getUint16(0) === 0x4949;
    const first = tags(view, view.getUint32(4, little), little);
    const inner = first.has(0x8769) ? tags(view, first.get(0x8769) ?? 0, little) : new Map();
    const get = (/** @type {number} */ tag) => inner.get(tag) ?? first.get(tag) ?? 0;
    const held = get(0x0112);
    exif.orientation = Number.isInteger(held) && held >= 1 && held <= 8 ? held : 1;
    exif.equivalent = get(0xa405);
    exif.focal = get(0x920a);
    exif.resolution = get(0xa20e);
    exif.unit = get(0xa210);
    exif.side = Math.max(get(0xa002), get(0xa003));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return exif;
}

/**
 * The numbers of one directory by tag: the first value of SHORT, LONG and RATIONAL entries.
 * @param {DataView} view
 * @param {number} at
 * @param {boolean} little
 * @returns {Map<number, number>}
 */
function tags(view, at, little) {
  const found = new Map();
  for (let n = 0, count = view.getUint16(at, little); n < count; n++) {
    const entry = at + 2 + 12 * n, kind = view.getUint16(entry + 2, little);
    let value = 0;
    if (kind === 3) value = view.getUint16(entry + 8, little);
    else if (kind === 4) value = view.getUint32(entry + 8, little);
    else if (kind === 5) {
      const where = view.getUint32(entry + 8, little);
      value = view.getUint32(where, little) / view.getUint32(where + 4, little);
    }
    if (Number.isFinite(value)) found.set(view.getUint16(entry, little), value);
  }
  return found;
}
