// Reads the file that handlib/photo/live.py writes: safetensors, gzipped or not.

const TENSOR_TYPES = { F32: Float32Array, F16: Uint16Array, I16: Int16Array, U16: Uint16Array, U8: Uint8Array };

/**
 * @typedef {Float32Array | Int16Array | Uint16Array | Uint8Array} TypedArray
 * @typedef {{arrays: Record<string, any>, live: any}} Pack arrays by name, halves as floats; and what describes them
 */

/**
 * @param {string | ArrayBuffer} source
 * @returns {Promise<Pack>}
 */
export async function readPack(source) {
  const bytes = await unzipped(typeof source === "string" ? await fetched(source) : source);
  const length = bytes.byteLength > 8 ? Number(new DataView(bytes).getBigUint64(0, true)) : Infinity;
  if (8 + length > bytes.byteLength) throw new Error("the model file is not whole: load the page again");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  /** @type {Record<string, any>} */
  const arrays = {};
  const { __metadata__: metadata, ...tensors } = header;
  for (const [
    name,
    {
      dtype,
      data_offsets: [begin, end],
    },
  ] of Object.entries(tensors)) {
    if (8 + length + end > bytes.byteLength) throw new Error("the model file is not whole: load the page again");
    const Type = TENSOR_TYPES[/** @type {keyof typeof TENSOR_TYPES} */ (dtype)];
    const values = new Type(bytes.slice(8 + length + begin, 8 + length + end));
    arrays[name] = dtype === "F16" ? floatsOfHalves(values) : values;
  }
  return { arrays, live: JSON.parse(metadata.live) };
}

/** @param {string} address */
async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`the model file ${address} cannot be had (${response.status})`);
  return response.arrayBuffer();
}

/**
 * @param {ArrayBuffer} bytes
 * @returns {Promise<ArrayBuffer>}
 */
async function unzipped(bytes) {
  const start = new Uint8Array(bytes, 0, 2);
  if (start[0] !== 0x1f || start[1] !== 0x8b) return bytes; // a server may have unzipped it
  // Without a Blob, which WebKit's workers cannot read on a page from a disk.
  const gzip = new DecompressionStream("gzip"),
    writer = gzip.writable.getWriter();
  const read = new Response(gzip.readable).arrayBuffer();
  const [whole] = await Promise.all([read, writer.write(new Uint8Array(bytes)), writer.close()]);
  return whole;
}

/**
 * Bits of half precision as single precision, exactly.
 * @param {ArrayLike<number>} halves
 */
function floatsOfHalves(halves) {
  const floats = new Float32Array(halves.length),
    bits = new Uint32Array(floats.buffer);
  for (let i = 0; i < floats.length; i++) {
    const half = halves[i],
      sign = (half & 0x8000) << 16;
    if (half & 0x7c00) bits[i] = sign | (((half & 0x7fff) << 13) + 0x38000000);
    else floats[i] = (sign ? -1 : 1) * (half & 0x3ff) * 2 ** -24; // subnormal
  }
  return floats;
}

/**
 * The arrays whose names begin with a prefix, by the rest of their names.
 * @param {Pack} pack
 * @param {string} prefix
 * @returns {Record<string, any>}
 */
export function arraysOf(pack, prefix) {
  const own = Object.entries(pack.arrays).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, values]) => [name.slice(prefix.length), values]));
}
