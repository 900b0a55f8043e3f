// Arrays in safetensors files (huggingface/safetensors, the format's own description): a header in JSON, then numbers.

// name -> { shape, data } of all arrays of a file, little-endian as this machine is. Halves are widened to float32,
// 64-bit numbers narrowed to doubles. Throws on what is no such file.
export function tensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const found = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = data_offsets.map((offset) => 8 + length + offset);
    const bytes = buffer.slice(start, end);
    found[name] = { shape, data: READERS[dtype](bytes) };
  }
  return found;
}

const READERS = {
  U8: (bytes) => new Uint8Array(bytes),
  I32: (bytes) => new Int32Array(bytes),
  I64: (bytes) => Float64Array.from(new BigInt64Array(bytes), Number),
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => Float32Array.from(new Uint16Array(bytes), half),
};

// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction.
function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// The arrays of a file of the service. Throws with the service's own words.
export async function fetchTensors(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (method !== "GET") headers["x-csrf-token"] = document.querySelector("meta[name=csrf-token]").content;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.errors?.[0]?.detail ?? told.detail ?? `the service answered ${answer.status}`);
  }
  const buffer = await answer.arrayBuffer();
  return { found: tensors(buffer), headers: answer.headers, bytes: buffer.byteLength };
}
