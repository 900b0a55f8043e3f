// How a memory recalls an image (Deng & Russakovsky, NeurIPS 2022, section 3.2): x = up(a B), computed from its file.
// Shapes: M bases, C channels, h and w small height and width, H and W those of an image, K classes, R rows.
import { element, enlarge, keep, kept, paint, settled } from "./pictures.js";
import { fetchTensors } from "./tensors.js";

const SHOWN = 24; // bases at first: those that weigh most
const LARGE = 192; // CSS pixels of the recalled image
const SMALL = 48; // of a basis

// What a memory holds as floats: { bases [M, C, h, w], addresses [K, R, M] } with its shapes. Stored as bytes, a basis and
// its column of addresses have a step and an offset each: value = offset + step * code.
export function decoded(found) {
  const [M, C, h, w] = found.bases.shape;
  const [, R] = found.addresses.shape;
  const size = C * h * w;
  let bases = found.bases.data;
  let addresses = found.addresses.data;
  if (found.bases_step) {
    const [step, offset] = [found.bases_step.data, found.bases_offset.data];
    bases = Float32Array.from(bases, (code, i) => offset[Math.floor(i / size)] + step[Math.floor(i / size)] * code);
    const [steps, offsets] = [found.addresses_step.data, found.addresses_offset.data];
    addresses = Float32Array.from(addresses, (code, i) => offsets[i % M] + steps[i % M] * code);
  }
  return { bases, addresses, M, R, C, h, w, row: (k, r) => addresses.slice((k * R + r) * M, (k * R + r + 1) * M) };
}

// Bytes [H, W, C] of the image that these addresses recall: bilinear between the centres of pixels, as PyTorch's
// interpolate(align_corners=False), then standardisation undone, clipped and rounded.
export function composed(memory, address, { shape: [, H, W], mean, std }) {
  const { bases, M, C, h, w } = memory;
  const small = new Float64Array(C * h * w);
  for (let m = 0; m < M; m++) {
    for (let i = 0; i < small.length; i++) small[i] += address[m] * bases[m * small.length + i];
  }
  const across = places(W, w);
  const down = places(H, h);
  const pixels = new Uint8ClampedArray(H * W * C);
  for (let y = 0; y < H; y++) {
    const [top, bottom, low] = down[y];
    for (let x = 0; x < W; x++) {
      const [left, right, part] = across[x];
      for (let c = 0; c < C; c++) {
        const at = (row, column) => small[(c * h + row) * w + column];
        const above = at(top, left) * (1 - part) + at(top, right) * part;
        const below = at(bottom, left) * (1 - part) + at(bottom, right) * part;
        const value = (above * (1 - low) + below * low) * std[c] + mean[c];
        pixels[(y * W + x) * C + c] = Math.round(255 * value); // clamped to a byte by its type
      }
    }
  }
  return pixels;
}

// Of each of `large` pixels the two of `small` that it lies between, and how far on the way.
function places(large, small) {
  return Array.from({ length: large }, (_, i) => {
    const at = Math.max(0, ((i + 0.5) * small) / large - 0.5);
    const first = Math.min(Math.floor(at), small - 1);
    return [first, Math.min(first + 1, small - 1), at - first];
  });
}

export function memory(facts) {
  const panel = document.getElementById("memory");
  if (!panel) return;
  const part = (name) => document.getElementById(name);
  const [chooseClass, chooseRow, said] = [part("memory-class"), part("memory-row"), part("composed-said")];
  let held = null;
  let address = null;

  async function open() {
    if (held || panel.hidden) return;
    said.textContent = "Fetching the artifact's file …";
    try {
      held = decoded((await fetchTensors(`/v1/artifacts/${facts.id}/content`)).found);
    } catch (error) {
      said.textContent = `The artifact's file cannot be read: ${error.message}`;
      return;
    }
    part("memory-choice").hidden = false;
    const [k, r] = (kept("image") ?? "0-0").split("-").map(Number);
    chooseClass.value = String(Math.min(k || 0, facts.classes.length - 1));
    chooseRow.value = String(Math.min(r || 0, held.R - 1));
    choose();
  }

  function choose() {
    const [k, r] = [Number(chooseClass.value), Number(chooseRow.value)];
    address = held.row(k, r);
    part("memory-row-said").textContent = String(r + 1);
    show();
    draw();
  }

  function draw() {
    const started = performance.now();
    const canvas = paint(part("composed"), composed(held, address, facts), facts.shape);
    enlarge(canvas, LARGE);
    const milliseconds = performance.now() - started;
    const stored = held.row(Number(chooseClass.value), Number(chooseRow.value));
    const moved = stored.some((value, m) => value !== address[m]);
    said.textContent = `${facts.classes[chooseClass.value]}, image ${Number(chooseRow.value) + 1}${moved ? ", changed" : ", as stored"}; recalled in ${milliseconds.toFixed(1)} ms`;
    part("memory-reset").disabled = !moved;
  }

  // Sliders for the bases that weigh most in this image, or for all of them.
  function show(all = false) {
    const size = held.C * held.h * held.w;
    const norms = Array.from({ length: held.M }, (_, m) => Math.hypot(...held.bases.subarray(m * size, (m + 1) * size)));
    const order = [...address.keys()].sort((a, b) => Math.abs(address[b]) * norms[b] - Math.abs(address[a]) * norms[a]);
    const shown = all ? order : order.slice(0, SHOWN);
    part("bases").replaceChildren(...shown.map((m) => basis(m, size)));
    part("memory-more").hidden = shown.length === held.M;
    part("memory-more").textContent = `Show all ${held.M} bases`;
  }

  function basis(m, size) {
    const values = held.bases.subarray(m * size, (m + 1) * size);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pixels = new Uint8ClampedArray(size); // each basis from its least to its greatest value, to be seen at all
    const plane = held.h * held.w;
    values.forEach((value, i) => (pixels[(i % plane) * held.C + Math.floor(i / plane)] = (255 * (value - low)) / (high - low || 1)));
    const canvas = enlarge(paint(element("canvas", { "aria-hidden": "true" }), pixels, [held.C, held.h, held.w]), SMALL);
    const reach = Math.max(...held.addresses.filter((_, i) => i % held.M === m).map(Math.abs), 1e-6) * 1.5;
    const number = element("output", { className: "number", text: address[m].toFixed(3) });
    const slider = element("input", { type: "range", min: -reach, max: reach, step: "any", value: address[m], "aria-label": `weight of basis ${m}` });
    slider.addEventListener("input", () => {
      address[m] = Number(slider.value);
      number.textContent = address[m].toFixed(3);
      draw();
    });
    return element("div", { className: "basis" }, canvas, element("div", {}, element("span", { className: "dim", text: `basis ${m} ` }), number, slider));
  }

  const remember = settled(() => keep({ image: `${chooseClass.value}-${chooseRow.value}` }));
  for (const input of [chooseClass, chooseRow]) {
    input.addEventListener("input", () => {
      choose();
      remember();
    });
  }
  part("memory-reset").addEventListener("click", choose);
  part("memory-more").addEventListener("click", () => show(true));
  document.addEventListener("chosen", open);
  open();
}
