// New images: of a generator by a seed, and of mixtures of classes.
import { duration, size } from "./api.js";
import { rowsByClass } from "./images.js";
import { element, enlarge, keep, kept, paint, reference, settled } from "./pictures.js";
import { fetchTensors } from "./tensors.js";

const MOST = 1000; // images that a page shows at a time
const MIXED = 8; // images of a mixture
const TIMES = 48; // CSS pixels of an image
const STEPS = 9; // of a strip
// What the API calls it -> what it is called in the address and on the page, and how many of it make one.
const MEASURES = {
  ipc: { word: "per_class", said: "Images of each class", unit: 1 },
  count: { word: "count", said: "Images in all", unit: 1 },
  ratio: { word: "ratio", said: "% of the real images", unit: 100 },
};

function newSeed() {
  return Math.floor(Math.random() * 2 ** 31);
}

export function drawing(facts) {
  const form = document.getElementById("drawing");
  if (!form) return;
  const { seed, measure, amount } = form.elements;
  const said = document.getElementById("drawn-said");
  const place = document.getElementById("drawn");
  const panel = document.getElementById("draw");
  let asked = null;

  measure.value = Object.keys(MEASURES).find((name) => kept(MEASURES[name].word)) ?? "ipc";
  seed.value = kept("seed") ?? newSeed();
  const asking = () => MEASURES[measure.value];
  amount.value = Number(kept(asking().word) ?? 5 / asking().unit) * asking().unit;
  document.getElementById("amount-said").textContent = asking().said;

  async function draw() {
    const number = Number(amount.value) / asking().unit;
    const images = { ipc: number * facts.classes.length, count: number, ratio: 0 }[measure.value];
    if (images > MOST) {
      said.textContent = `That would be ${images} images, and a page shows at most ${MOST}; ask for fewer, or take them from the API.`;
      return;
    }
    asked?.abort();
    asked = new AbortController();
    const address = `/v1/artifacts/${facts.id}/samples?format=safetensors&seed=${seed.value}&${measure.value}=${number}`;
    keep({ per_class: null, count: null, ratio: null, seed: seed.value, [asking().word]: number });
    said.textContent = "Drawing …";
    const started = performance.now();
    try {
      const { found, bytes } = await fetchTensors(address, { signal: asked.signal });
      const shown = found.labels.data.length;
      if (shown > MOST) throw new Error(`That is ${shown} images, and a page shows at most ${MOST}; ask for fewer.`);
      const seconds = (performance.now() - started) / 1000;
      place.replaceChildren(...rowsByClass(found, facts, TIMES / facts.shape[2]));
      said.textContent = `${shown} images in ${seconds < 1 ? `${Math.round(1000 * seconds)} ms` : duration(seconds)}, ${size(bytes)}; seed ${seed.value}. `;
      said.append(element("a", { href: address, text: "The same as a file", download: "" }));
    } catch (error) {
      if (error.name !== "AbortError") said.textContent = error.message;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  document.getElementById("another").addEventListener("click", () => {
    seed.value = newSeed();
    draw();
  });
  measure.addEventListener("change", () => (document.getElementById("amount-said").textContent = asking().said));
  const first = () => {
    if (!panel.hidden && !place.childElementCount && !asked) draw();
  };
  document.addEventListener("chosen", first);
  first();
}

export function mixing(facts) {
  const form = document.getElementById("mixing");
  if (!form) return;
  const part = (name) => document.getElementById(name);
  const [panel, weights, more, seed] = [part("mix"), part("weights"), part("more-classes"), part("mix-seed")];
  const mixed = new Map(); // class -> weight in per cent
  let asked = null;

  for (const one of (kept("mix") ?? "").split(",")) {
    const [k, weight] = one.split(":").map(Number);
    if (one && facts.classes[k] !== undefined && weight >= 0) mixed.set(k, Math.min(weight, 100));
  }
  for (const k of [0, 1]) if (mixed.size < 2 && facts.classes.length > k && !mixed.has(k)) mixed.set(k, 50);
  if (kept("seed")) seed.value = kept("seed");

  function offer() {
    more.replaceChildren(element("option", { value: "", text: "choose …" }));
    facts.classes.forEach((name, k) => mixed.has(k) || more.append(element("option", { value: k, text: name })));
    weights.replaceChildren(...[...mixed].map(([k, weight]) => sliderOf(k, weight)));
  }

  function sliderOf(k, weight) {
    const said = element("output", { className: "number", text: `${weight} %` });
    const slider = element("input", { type: "range", min: 0, max: 100, value: weight, id: `weight-${k}` });
    slider.addEventListener("input", () => {
      mixed.set(k, Number(slider.value));
      said.textContent = `${slider.value} %`;
      mix();
    });
    return element("div", {}, element("label", { for: `weight-${k}`, text: `${facts.classes[k]} ` }, said), slider);
  }

  const mix = settled(async () => {
    const there = [...mixed].filter(([, weight]) => weight > 0);
    if (!there.length) {
      part("mixed-said").textContent = "Give at least one class a weight.";
      return;
    }
    keep({ mix: [...mixed].map(([k, weight]) => `${k}:${weight}`).join(","), seed: seed.value });
    strip(there);
    asked?.abort();
    asked = new AbortController();
    const names = Object.fromEntries(there.map(([k, weight]) => [reference(k, facts.classes), weight]));
    const count = Math.min(MIXED, facts.held ?? MIXED);
    const started = performance.now();
    try {
      const path = `/v1/artifacts/${facts.id}/samples?format=safetensors&seed=${seed.value}`;
      const { found } = await fetchTensors(path, { method: "POST", body: [{ mix: names, count }], signal: asked.signal });
      const [channels, height, width] = facts.shape;
      const said = there.map(([k, weight]) => `${facts.classes[k]} ${weight}`).join(", ");
      part("mixed").replaceChildren(
        ...Array.from({ length: count }, (_, n) => {
          const canvas = paint(element("canvas"), found.images.data, facts.shape, n * channels * height * width);
          canvas.setAttribute("role", "img");
          canvas.setAttribute("aria-label", `mixture of ${said}, image ${n + 1}`);
          return enlarge(canvas, 2 * TIMES);
        }),
      );
      part("mixed-said").textContent = `${count} images of ${said} in ${Math.round(performance.now() - started)} ms; seed ${seed.value}`;
    } catch (error) {
      if (error.name !== "AbortError") part("mixed-said").textContent = error.message;
    }
  });

  function strip(there) {
    const [first, second] = there.map(([k]) => k);
    const picture = part("strip");
    picture.hidden = second === undefined;
    part("strip-said").textContent = second === undefined ? "Two classes make a strip." : `From ${facts.classes[first]} to ${facts.classes[second]}, a row an image.`;
    if (second === undefined) return;
    const rows = Math.min(3, facts.held ?? 3);
    const query = [first, second].map((k) => `mix=${encodeURIComponent(reference(k, facts.classes))}`).join("&");
    const address = `/v1/artifacts/${facts.id}/preview.png?${query}&columns=${STEPS}&rows=${rows}&scale=${Math.max(1, Math.round(TIMES / facts.shape[2]))}`;
    picture.alt = `${STEPS} steps from ${facts.classes[first]} to ${facts.classes[second]}, ${rows} images`;
    if (picture.getAttribute("src") !== address) picture.src = address;
  }

  more.addEventListener("change", () => {
    if (more.value === "") return;
    mixed.set(Number(more.value), 50);
    offer();
    mix();
  });
  seed.addEventListener("input", () => seed.value !== "" && mix());
  form.addEventListener("submit", (event) => event.preventDefault());
  offer();
  const first = () => {
    if (!panel.hidden && !part("mixed").childElementCount) mix();
  };
  document.addEventListener("chosen", first);
  first();
}
