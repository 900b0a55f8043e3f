// The grid: each class's sheet is cut into its images, which can be walked over with a pointer or the arrow keys.
import { call } from "./api.js";
import { bars, element, enlarge, keep, kept, paint, reference, settled } from "./pictures.js";
import { fetchTensors } from "./tensors.js";

const LOOK = 120; // CSS pixels of the large image
const SHOWN_LABELS = 10;
const MOST_NEIGHBOURS = 100; // of one answer

export function images(facts) {
  const grid = document.getElementById("grid");
  if (!grid) return;
  const [, height, width] = facts.shape;
  const slider = document.getElementById("ipc");
  const rows = [...grid.querySelectorAll(".class-row")];
  const look = looking(facts, () => Number(slider.value));
  let chosen = kept("image") ?? `${rows[0]?.dataset.class}-0`;

  // Not at each step of a pointer: browsers count how often an address is changed.
  const remember = settled(() => keep({ image: chosen }), 300);

  function cut(row, sheet) {
    const k = Number(row.dataset.class);
    const columns = Math.round((sheet.naturalWidth - facts.gap) / (width + facts.gap));
    const cells = [];
    for (let i = 0; i < columns; i++) {
      const canvas = element("canvas", { width, height, "aria-hidden": "true" });
      canvas.getContext("2d").drawImage(sheet, facts.gap + i * (width + facts.gap), facts.gap, width, height, 0, 0, width, height);
      enlarge(canvas, Number(grid.dataset.times) * width);
      const name = `${k}-${i}`;
      const cell = element("button", { type: "button", className: "cell", tabIndex: name === chosen ? 0 : -1, "aria-label": `${facts.classes[k]}, image ${i + 1}` }, canvas);
      cell.dataset.image = name;
      cells.push(cell);
    }
    const focused = row.querySelector(".cell:focus")?.dataset.image;
    for (const old of row.querySelectorAll(".cell")) old.remove();
    sheet.hidden = true;
    row.querySelector(".cells").append(...cells);
    if (focused) cells.find((cell) => cell.dataset.image === focused)?.focus();
    const meant = cells.find((cell) => cell.dataset.image === chosen);
    if (meant) choose(meant, { ask: Boolean(kept("image")) });
  }

  function choose(cell, { ask = true } = {}) {
    chosen = cell.dataset.image;
    for (const other of grid.querySelectorAll(".cell[tabindex='0'], .cell.chosen")) {
      other.tabIndex = -1;
      other.classList.remove("chosen");
    }
    cell.tabIndex = 0;
    cell.classList.add("chosen");
    const [k, i] = chosen.split("-").map(Number);
    look.show(k, i, cell.querySelector("canvas"), { ask });
    if (ask) remember();
  }

  for (const row of rows) {
    const sheet = row.querySelector("img");
    sheet.addEventListener("load", () => cut(row, sheet));
    if (sheet.complete && sheet.naturalWidth) cut(row, sheet);
  }
  for (const kind of ["pointerover", "focusin", "click"]) {
    grid.addEventListener(kind, (event) => {
      const cell = event.target.closest(".cell");
      if (cell && (cell.dataset.image !== chosen || kind !== "pointerover")) choose(cell);
    });
  }
  grid.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".cell");
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!cell || (!steps && event.key !== "Home" && event.key !== "End")) return;
    event.preventDefault();
    const lines = rows.map((row) => [...row.querySelectorAll(".cell")]).filter((line) => line.length);
    const line = lines.findIndex((each) => each.includes(cell));
    const place = lines[line].indexOf(cell);
    const other = lines[Math.min(Math.max(line + (steps?.[0] ?? 0), 0), lines.length - 1)];
    const at = steps ? place + steps[1] : event.key === "Home" ? 0 : other.length - 1;
    other[Math.min(Math.max(at, 0), other.length - 1)].focus();
  });

  const more = settled(() => {
    keep({ ipc: slider.value });
    for (const row of rows) {
      const sheet = row.querySelector("img");
      const address = new URL(sheet.src);
      address.searchParams.set("columns", slider.value);
      sheet.hidden = false; // a hidden image that is lazy is not fetched
      for (const cell of row.querySelectorAll(".cell")) cell.remove();
      const times = Number(grid.dataset.times);
      sheet.width = times * (slider.value * (width + facts.gap) + facts.gap);
      sheet.src = address;
    }
  });
  slider.addEventListener("input", () => {
    document.getElementById("ipc-said").textContent = slider.value;
    more();
  });
}

// The panel beside the grid: the image large, its soft label, and the real one that lies nearest.
function looking(facts, columns) {
  const part = (name) => document.getElementById(`look-${name}`);
  const labels = new Map(); // class -> promise of its rows of soft labels
  const neighbours = new Map(); // class and number -> promise of them
  let now = "";

  function once(known, key, make) {
    if (!known.has(key)) {
      known.set(key, make());
      known.get(key).catch(() => known.delete(key)); // what failed is asked for again
    }
    return known.get(key);
  }

  async function label(k, i, number) {
    const path = `/v1/artifacts/${facts.id}/download?format=safetensors&ipc=${number}&classes=${encodeURIComponent(reference(k, facts.classes))}`;
    const { found } = await once(labels, `${k} ${number}`, () => fetchTensors(path));
    const { data, shape } = found.soft_labels;
    return [...data.subarray(i * shape[1], (i + 1) * shape[1])].map((share, c) => [facts.classes[c], share]);
  }

  function neighbour(k, number) {
    const path = `/v1/artifacts/${facts.id}/neighbours?ipc=${number}&classes=${encodeURIComponent(reference(k, facts.classes))}`;
    return once(neighbours, `${k} ${number}`, () => call("GET", path));
  }

  const ask = settled(async (k, i, name) => {
    const number = columns();
    if (facts.soft) {
      const shares = await label(k, i, number).catch(() => null);
      if (name !== now) return;
      part("label").hidden = !shares;
      if (shares) bars(part("label").querySelector("tbody"), shares.sort((a, b) => b[1] - a[1]).slice(0, SHOWN_LABELS));
    }
    if (i >= MOST_NEIGHBOURS) return;
    part("distance").textContent = "Looking for the nearest real image …";
    let said;
    try {
      const told = await neighbour(k, Math.min(number, MOST_NEIGHBOURS));
      const found = told.items.find((item) => item.place === i);
      if (name !== now) return;
      if (found) await showReal(found, name);
      said = found ? `${found.rms.toFixed(1)} grey levels away (root mean square); it is number ${found.index + 1} of the real training images of ${found.class} in ${found.dataset}.` : `No real image to show: ${told.reason}.`;
    } catch (error) {
      said = `No real image to show: ${error.message}`;
    }
    if (name === now) part("distance").textContent = said;
  }, 120);

  async function showReal(found, name) {
    const picture = new Image();
    picture.src = `data:image/png;base64,${found.png}`;
    await picture.decode();
    if (name !== now) return;
    const canvas = part("real");
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    canvas.getContext("2d").drawImage(picture, 0, 0);
    enlarge(canvas, LOOK);
    canvas.closest("figure").hidden = false;
  }

  return {
    show(k, i, source, { ask: also }) {
      now = `${k}-${i}`;
      document.getElementById("look").hidden = false;
      part("title").textContent = `${facts.classes[k]}, image ${i + 1}`;
      const canvas = part("image");
      [canvas.width, canvas.height] = [source.width, source.height];
      canvas.getContext("2d").drawImage(source, 0, 0);
      enlarge(canvas, LOOK);
      part("real").closest("figure").hidden = true;
      part("label").hidden = true;
      part("distance").textContent = also ? "" : "Point at an image, or move to one with the arrow keys, to see it beside the nearest real one.";
      if (also) ask(k, i, now);
    },
  };
}

// Rows of images by class, from arrays of the service: images uint8 [N, H, W, C], labels [N].
export function rowsByClass(found, facts, times) {
  const [channels, height, width] = facts.shape;
  const of = new Map();
  found.labels.data.forEach((label, n) => of.set(label, [...(of.get(label) ?? []), n]));
  return [...of].map(([label, places]) => {
    const cells = places.map((n) => {
      const canvas = paint(element("canvas"), found.images.data, facts.shape, n * channels * height * width);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${facts.classes[label]}`);
      return enlarge(canvas, times * width);
    });
    return element("section", { className: "class-row", "aria-label": `class ${facts.classes[label]}` }, element("h3", { text: facts.classes[label] }), element("div", { className: "cells" }, ...cells));
  });
}
