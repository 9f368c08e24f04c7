// An estimate as files that others read: OBJ and GLB as handlib/photo/meshes.py writes them, and the JSON of
// `handlib predict`, whose parameters have MANO's names (handlib/photo/mano_parameters.py).
//
// In mesh files x points right, y up, z towards the viewer; units are meters.

import { normals } from "./mesh_view.js";
import { vectorOfRotation } from "./rotations.js";

/** @typedef {import("./engine.js").Hand} Hand */
/** @typedef {{vertices: Float32Array, faces: Uint16Array, colors: Uint8Array, name: string}} NamedMesh */

const FRAME = "meters; x right, y up, z towards the viewer";

/**
 * Camera axes to those of a viewer: y up, z towards the viewer.
 * @param {ArrayLike<number>} points
 */
export const upright = (points) => Float32Array.from(points, (value, n) => (n % 3 ? -value : value));

/** @param {NamedMesh[]} meshes with y up */
export function toObj(meshes) {
  const lines = [`# ${FRAME}; colors (sRGB) follow the coordinates`];
  let start = 1; // OBJ counts from 1
  for (const { vertices, faces, colors, name } of meshes) {
    lines.push(`o ${name.replaceAll(" ", "_")}`);
    for (let n = 0; n < vertices.length; n += 3) {
      const place = [0, 1, 2].map((c) => vertices[n + c].toFixed(7)), color = [0, 1, 2].map((c) => (colors[n + c] / 255).toFixed(4));
      lines.push(`v ${place.join(" ")} ${color.join(" ")}`);
    }
    for (let n = 0; n < faces.length; n += 3) lines.push(`f ${[0, 1, 2].map((c) => faces[n + c] + start).join(" ")}`);
    start += vertices.length / 3;
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Binary glTF 2.0: one node a hand, with normals, and colors that are linear there, not sRGB.
 * @param {NamedMesh[]} meshes with y up
 */
export function toGlb(meshes) {
  const [FLOAT, UINT, VERTICES, INDICES] = [5126, 5125, 34962, 34963]; // names of glTF 2.0, sections 3.6.2 and 5.11
  /** @type {Uint8Array[]} */
  const parts = [];
  /** @type {object[]} */
  const views = [], /** @type {object[]} */ accessors = [];
  let length = 0;
  /** @param {Float32Array | Uint32Array} array @param {string} type @param {number} target @param {object} limits */
  function accessor(array, type, target, limits = {}) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    views.push({ buffer: 0, byteOffset: length, byteLength: bytes.length, target });
    parts.push(bytes);
    length += bytes.length; // a multiple of four, as every view must start at one
    const count = type === "SCALAR" ? array.length : array.length / 3;
    const componentType = array instanceof Float32Array ? FLOAT : UINT;
    return accessors.push({ bufferView: views.length - 1, componentType, count, type, ...limits }) - 1;
  }
  const described = meshes.map(({ vertices, faces, colors, name }) => {
    const rows = [0, 1, 2].map((c) => vertices.filter((_, n) => n % 3 === c));
    const limits = { min: rows.map((row) => Math.min(...row)), max: rows.map((row) => Math.max(...row)) };
    const attributes = {
      POSITION: accessor(vertices, "VEC3", VERTICES, limits),
      NORMAL: accessor(normals(vertices, faces), "VEC3", VERTICES),
      COLOR_0: accessor(Float32Array.from(colors, linear), "VEC3", VERTICES),
    };
    return { name, primitives: [{ attributes, indices: accessor(Uint32Array.from(faces), "SCALAR", INDICES), material: 0 }] };
  });
  const text = JSON.stringify({
    asset: { version: "2.0", generator: "handlib", extras: { frame: FRAME } },
    scene: 0,
    scenes: [{ nodes: meshes.map((_, n) => n) }],
    nodes: meshes.map(({ name }, n) => ({ mesh: n, name })),
    meshes: described,
    materials: [{ pbrMetallicRoughness: { metallicFactor: 0, roughnessFactor: 0.8 }, doubleSided: true }],
    accessors,
    bufferViews: views,
    buffers: [{ byteLength: length }],
  });
  const json = new TextEncoder().encode(text.padEnd(4 * Math.ceil(text.length / 4)));
  const file = new Uint8Array(28 + json.length + length), view = new DataView(file.buffer);
  const words = [0x46546c67, 2, file.length, json.length, 0x4e4f534a]; // "glTF", "JSON"
  words.forEach((word, n) => view.setUint32(4 * n, word, true));
  file.set(json, 20);
  view.setUint32(20 + json.length, length, true);
  view.setUint32(24 + json.length, 0x004e4942, true); // "BIN\0"
  let at = 28 + json.length;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** Linear light of an sRGB byte (IEC 61966-2-1). @param {number} byte */
function linear(byte) {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/**
 * What `handlib predict` writes as NAME.json.
 * @param {{hands: Hand[], K: ArrayLike<number>, assumed: boolean}} estimate
 * @param {{width: number, height: number}} size of the picture
 * @param {string[]} jointNames
 * @param {(shape: ArrayLike<number>) => ArrayLike<number>} restJoints joints of a shape at rest, 16 × 3, wrist first
 */
export function toJson({ hands, K, assumed }, { width, height }, jointNames, restJoints) {
  const described = hands.map((hand) => {
    const px = rows(hand.joints_px, 2);
    const [low, high] = [Math.min, Math.max].map((pick) => [0, 1].map((c) => pick(...px.map((point) => point[c]))));
    const side = Math.max(high[0] - low[0], high[1] - low[1]);
    return {
      side: hand.side,
      score: rounded(hand.score, 4),
      box_px: [...low.map((value, c) => rounded((value + high[c] - side) / 2, 2)), rounded(side, 2)],
      joints_px: px.map((point) => point.map((value) => rounded(value, 2))),
      joints_cam_m: rows(hand.joints_cam, 3).map((point) => point.map((value) => rounded(value, 5))),
      confidence: Array.from(hand.confidence, (value) => rounded(value, 3)),
      mano: mano(hand, restJoints),
      h: Array.from(hand.h, (value) => rounded(value, 6)),
    };
  });
  const camera = { K: rows(K, 3).map((row) => row.map((value) => rounded(value, 3))), assumed };
  const file = { image_size: [width, height], camera, joint_names: jointNames, hands: described };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * @param {Hand} hand
 * @param {(shape: ArrayLike<number>) => ArrayLike<number>} restJoints
 */
function mano({ side, h, placement: { rotation: R, translation: t } }, restJoints) {
  const betas = Array.from(h.slice(45, 55)), wrist = Array.from(restJoints(betas)).slice(0, 3);
  const turnedWrist = [0, 1, 2].map((r) => wrist.reduce((sum, value, c) => sum + R[3 * r + c] * value, 0));
  let orient = Array.from(vectorOfRotation(R)), pose = Array.from(h.slice(0, 45)), transl = wrist.map((value, c) => t[c] + turnedWrist[c] - value);
  if (side === "left") { // in the mirror points change x, rotation vectors y and z
    [orient, pose] = [orient, pose].map((vectors) => vectors.map((value, n) => (n % 3 ? -value : value)));
    transl = transl.map((value, c) => (c ? value : -value));
  }
  const [global_orient, hand_pose, shape, place] = [orient, pose, betas, transl].map((v) => v.map((x) => rounded(x, 6)));
  return { global_orient, hand_pose, betas: shape, transl: place, flat_hand_mean: true, is_rhand: side === "right" };
}

/** @param {ArrayLike<number>} values @param {number} columns */
const rows = (values, columns) =>
  Array.from({ length: values.length / columns }, (_, n) => Array.from({ length: columns }, (_, c) => values[columns * n + c]));

/** @param {number} value @param {number} digits */
const rounded = (value, digits) => Math.round(value * 10 ** digits) / 10 ** digits;
