// Images of an artifact on canvases: a pixel stays a pixel, and styles enlarge it.

// How to ask for a class so that no other is meant: by its index, unless that is another one's name.
export function reference(k, classes) {
  return classes.includes(String(k)) ? classes[k] : String(k);
}

// A canvas of one image. pixels: bytes [H, W, C], C 1 or 3, from `offset` on.
export function paint(canvas, pixels, [channels, height, width], offset = 0) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[offset + channels * i + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// A canvas of a given size on the page, in CSS pixels: a whole number of times its own.
export function enlarge(canvas, wanted) {
  const times = Math.max(1, Math.round(wanted / canvas.width));
  canvas.style.width = `${times * canvas.width}px`;
  canvas.style.height = `${times * canvas.height}px`;
  return canvas;
}

export function element(tag, { text, ...fields } = {}, ...below) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  if (text !== undefined) made.textContent = text;
  made.append(...below);
  return made;
}

// What the page shows, in its address; null takes a word away.
export function keep(words) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(words)) {
    if (value === null || value === "") address.searchParams.delete(name);
    else address.searchParams.set(name, value);
  }
  history.replaceState(null, "", address);
}

export function kept(name) {
  return new URL(location.href).searchParams.get(name);
}

// Calls `act` once it has not been asked for `wait` milliseconds.
export function settled(act, wait = 150) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}

// Bars of a row of shares, the largest first: [[name, share], …] into the body of a table.
export function bars(body, shares) {
  body.replaceChildren(
    ...shares.map(([name, share]) => {
      const meter = element("meter", { min: 0, max: 1, value: share, "aria-label": `${name}: ${(100 * share).toFixed(1)} %` });
      return element("tr", {}, element("th", { scope: "row", text: name }), element("td", {}, meter), element("td", { className: "number", text: (100 * share).toFixed(1) }));
    }),
  );
}
