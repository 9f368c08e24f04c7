import assert from "node:assert/strict";
import test from "node:test";
import { MAX_BYTES, PhotoError, checkSize, focalPx, inspect } from "../../../handlib/viz/static/live/photo_file.js";

const text = (string) => Array.from(string, (c) => c.charCodeAt(0));
const big = (value, bytes) => Array.from({ length: bytes }, (_, n) => (value >>> (8 * (bytes - 1 - n))) & 255);
const little = (value, bytes) => big(value, bytes).reverse();
const look = (bytes, size = bytes.length) => inspect("a.jpg", size, Uint8Array.from(bytes));

const frame = (width, height) => [0xff, 0xc0, ...big(11, 2), 8, ...big(height, 2), ...big(width, 2), 1, 0x11, 0];
const jpeg = (width, height, before = []) => [0xff, 0xd8, ...before, ...frame(width, height), 0xff, 0xda];
const png = (width, height) => [...text("\x89PNG\r\n\x1a\n"), ...big(13, 4), ...text("IHDR"), ...big(width, 4), ...big(height, 4)];

// EXIF with one directory inside another: [tag, kind, value], kind 3 a short, 5 a fraction of thousandths.
function exif(outer, inner) {
  const start = 8, next = start + 2 + 12 * (outer.length + 1) + 4, far = next + 2 + 12 * inner.length + 4;
  const fractions = [];
  const entry = ([tag, kind, value]) => {
    const where = far + 8 * fractions.length;
    if (kind === 5) fractions.push(value);
    return [...little(tag, 2), ...little(kind, 2), ...little(1, 4), ...(kind === 5 ? little(where, 4) : little(value, 4))];
  };
  const folder = (entries) => [...little(entries.length, 2), ...entries.flatMap(entry), ...little(0, 4)];
  const body = [...text("II"), 42, 0, ...little(start, 4), ...folder([...outer, [0x8769, 4, next]]), ...folder(inner)];
  for (const value of fractions) body.push(...little(Math.round(1000 * value), 4), ...little(1000, 4));
  return [0xff, 0xe1, ...big(body.length + 8, 2), ...text("Exif\0\0"), ...body];
}

test("the size of every kind is known before it is decoded", () => {
  const webp = [...text("RIFF"), 0, 0, 0, 0, ...text("WEBPVP8X"), ...little(10, 4), 0, 0, 0, 0, ...little(4031, 3), ...little(3023, 3)];
  const cases = {
    JPEG: jpeg(4032, 3024),
    PNG: png(4032, 3024),
    GIF: [...text("GIF89a"), ...little(4032, 2), ...little(3024, 2)],
    BMP: [...text("BM"), ...Array(16).fill(0), ...little(4032, 4), ...little(-3024, 4)],
    WebP: webp,
  };
  for (const [kind, bytes] of Object.entries(cases)) {
    const facts = look(bytes);
    assert.deepEqual([facts.kind, facts.width, facts.height], [kind, 4032, 3024]);
  }
});

test("what cannot be read is refused in a sentence with the mend", () => {
  const refused = [
    [[], /empty/],
    [text("%PDF-1.7 and more"), /not a picture.*Choose a JPEG/],
    [[0, 0, 0, 24, ...text("ftypheic"), 0], /HEIC.*Export it as JPEG/],
    [png(20000, 20000), /20000 × 20000 pixels.*80 megapixels.*Scale it down/],
    [png(0, 10), /damaged/],
    [png(10, 10).slice(0, 18), /damaged/],
    [jpeg(10, 10).slice(0, 7), /damaged/],
    [[0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0], /damaged/],
    [[0xff, 0xd8, 0xff, 0xd9], /damaged/],
  ];
  for (const [bytes, message] of refused) assert.throws(() => look(bytes), (e) => e instanceof PhotoError && message.test(e.message));
  assert.throws(() => look(png(10, 10), MAX_BYTES + 1), /a\.jpg has 65 MB; at most 64/);
  assert.throws(() => checkSize("a.jpg", 40000, 2), /40000 × 2 pixels.*32768 pixels a side/);
});

test("the focal length is read as in Python", () => {
  const facts = look(jpeg(4032, 3024, exif([[0x0112, 3, 6]], [[0xa405, 3, 26], [0x920a, 5, 4.25]])));
  assert.equal(facts.exif.orientation, 6);
  assert.equal(facts.exif.focal, 4.25);
  const focal = focalPx(facts.exif, 3024, 4032);
  assert.ok(Math.abs(focal - (26 * 5040) / Math.hypot(36, 24)) < 1e-6);
  const plane = { orientation: 1, equivalent: 0, focal: 5, resolution: 700, unit: 4, side: 8064 };
  assert.equal(focalPx(plane, 4032, 3024), 1750); // half of the sensor's pixels
  assert.equal(focalPx({ ...plane, focal: 0 }, 4032, 3024), null);
  assert.equal(focalPx({ ...plane, equivalent: 1e9 }, 4032, 3024), null);
});

test("damaged EXIF counts as none", () => {
  const tags = exif([[0x0112, 3, 6]], [[0xa405, 3, 26]]);
  for (const cut of [12, 20, 30]) {
    const broken = [...tags.slice(0, cut)];
    [broken[2], broken[3]] = big(broken.length - 2, 2);
    const facts = look(jpeg(40, 30, broken));
    assert.equal(focalPx(facts.exif, 40, 30), null);
    assert.equal(facts.width, 40);
  }
});

test("no bytes crash it", () => {
  let seed = 1;
  const random = () => (seed = (1103515245 * seed + 12345) % 2 ** 31) / 2 ** 31;
  const starts = [jpeg(40, 30, exif([[0x0112, 3, 6]], [[0xa405, 3, 26]])), png(3, 4), text("RIFF0000WEBPVP8 ")];
  for (let n = 0; n < 3000; n++) {
    const bytes = [...starts[n % 3]];
    for (let k = 0; k < 4; k++) bytes[4 + Math.floor(random() * (bytes.length - 4))] = Math.floor(random() * 256);
    try {
      look(bytes.slice(0, 4 + Math.floor(random() * bytes.length)));
    } catch (error) {
      assert.ok(error instanceof PhotoError, String(error.stack));
    }
  }
});
