// The one place that knows the chart library (uPlot, loaded by the page before this module): lines with a band, an axis
// that can be logarithmic, colours of the page's theme, and the same numbers as a table for whoever sees no canvas.

const COLOURS = ["--main", "--warn", "--good", "--bad", "--dim"];
const TABLE_ROWS = 200;
//: Distances of ticks on the x axis: steps are whole numbers.
const WHOLE = [1, 2, 5].flatMap((one) => [...Array(9)].map((_, power) => one * 10 ** power)).sort((a, b) => a - b);

// place: an element to fill. label: what the chart is, in words; x, y: what its axes say. log: whether it begins with a
// logarithmic axis; null: none is offered. range: of the y axis, such as [0, 1]; percent: y is a share, shown as %.
// Returns { set({ x: [numbers], lines: [{ name, values, low, high, colour, dash }] }), destroy() }. `low` and `high`, where
// they are there, are the borders of a band around `values`; gaps are null; `colour` is the name of a token of page.css.
export function chart(place, { label, x = "step", y = "", log = false, range = null, percent = false, height = 240 }) {
  const figure = element("figure", "chart");
  const head = element("figcaption", "chart-head");
  const plotted = element("div", "chart-plot");
  const table = numbers(label);
  head.append(element("strong", "", label), element("span", "chart-keys"));
  figure.append(head, plotted, table.details);
  place.replaceChildren(figure);
  plotted.setAttribute("role", "img");
  plotted.setAttribute("aria-label", `${label}: nothing yet`);
  const keys = head.querySelector(".chart-keys");
  const say = (value) => (value == null ? "–" : percent ? `${(100 * value).toFixed(1)} %` : short(value));

  let told = { x: [], lines: [] };
  let plot = null;
  let logarithmic = Boolean(log);
  let shape = "";

  if (log !== null) {
    const button = element("button", "quiet chart-log", "log axis");
    button.type = "button";
    button.setAttribute("aria-pressed", logarithmic);
    button.addEventListener("click", () => {
      logarithmic = !logarithmic;
      button.setAttribute("aria-pressed", logarithmic);
      build();
    });
    head.append(button);
  }

  function columns() {
    const out = [told.x];
    for (const line of told.lines) {
      out.push(logarithmic ? positive(line.values) : line.values);
      if (line.low) out.push(...[line.high, line.low].map((values) => (logarithmic ? positive(values) : values)));
    }
    return out;
  }

  function build() {
    plot?.destroy();
    plot = null;
    plotted.replaceChildren();
    keys.replaceChildren();
    if (!told.x.length) {
      plotted.append(element("p", "dim", "Nothing has been measured yet."));
      return;
    }
    const [series, bands, readings] = [[{ label: x }], [], []];
    told.lines.forEach((line, i) => {
      const ink = colour(line.colour ?? COLOURS[i % COLOURS.length]);
      const reading = element("span", "chart-value");
      const key = element("span", "chart-key");
      const swatch = element("span", "chart-swatch");
      swatch.style.background = ink;
      key.append(swatch, `${line.name} `, reading);
      keys.append(key);
      readings.push([series.length, reading]);
      series.push({ label: line.name, stroke: ink, width: 2, dash: line.dash, spanGaps: true, points: { show: told.x.length < 3 } });
      if (line.low) {
        const at = series.length;
        for (const border of ["high", "low"]) {
          series.push({ label: `${line.name}, ${border}`, stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
        }
        bands.push({ series: [at, at + 1], fill: faint(ink) });
      }
    });
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const read = (self) => {
      for (const [at, reading] of readings) {
        const values = self.data[at];
        const place = self.cursor.idx ?? lastIndex(values);
        reading.textContent = say(values[place]);
      }
    };
    plot = new window.uPlot(
      {
        width: Math.max(200, plotted.clientWidth),
        height,
        series,
        bands,
        legend: { show: false },
        cursor: { drag: { x: true, y: false }, points: { size: 6 } },
        scales: { x: { time: false }, y: logarithmic ? { distr: 3 } : { range: range ?? undefined } },
        axes: [
          { ...axis, label: x, labelSize: 18, labelFont: "12px system-ui", font: "12px system-ui", size: 34, incrs: WHOLE },
          { ...axis, label: y, labelSize: 18, labelFont: "12px system-ui", font: "12px system-ui", size: 58, values: (_, splits) => splits.map((value) => (value == null ? "" : short(percent ? 100 * value : value))) },
        ],
        hooks: { setCursor: [read], setData: [read], ready: [read] },
      },
      columns(),
      plotted,
    );
    shape = shapeOf(told);
    name();
  }

  function name() {
    const parts = told.lines.map((line) => {
      const first = line.values.findIndex((value) => value != null);
      const last = lastIndex(line.values);
      if (first < 0) return `${line.name}: nothing yet`;
      return `${line.name} from ${say(line.values[first])} at ${x} ${short(told.x[first])} to ${say(line.values[last])} at ${x} ${short(told.x[last])}`;
    });
    plotted.setAttribute("aria-label", `${label}: ${parts.join("; ")}`);
    table.set(told, { x, say });
  }

  const resized = new ResizeObserver(() => {
    const width = Math.max(200, plotted.clientWidth);
    if (plot && Math.abs(plot.width - width) > 1) plot.setSize({ width, height });
  });
  resized.observe(plotted);
  const themed = new MutationObserver(build);
  themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", build);
  build();

  return {
    set(next) {
      told = next;
      if (!plot || shapeOf(told) !== shape || told.x.length < 4) return build();
      plot.setData(columns());
      name();
    },
    destroy() {
      resized.disconnect();
      themed.disconnect();
      system.removeEventListener("change", build);
      plot?.destroy();
      place.replaceChildren();
    },
  };
}

// A token of page.css as a colour that a canvas knows; tokens are written with light-dark(), which only styles resolve.
export function colour(token) {
  const probe = element("span");
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// A number as people read it: four digits that count.
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

function numbers(label) {
  const details = element("details", "chart-table");
  const box = element("div", "scroll");
  details.append(element("summary", "", "The same numbers as a table"), box);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `${label}, as a table`);
  let later = () => {};
  const set = (told, { x, say }) => {
    later = () => {
      const table = element("table");
      const top = table.createTHead().insertRow();
      for (const name of [x, ...told.lines.map((line) => line.name)]) {
        const cell = element("th", "number", name);
        cell.scope = "col";
        top.append(cell);
      }
      const body = table.createTBody();
      const every = Math.max(1, Math.ceil(told.x.length / TABLE_ROWS)); // a long series is thinned out; its end stays
      told.x.forEach((at, i) => {
        if (i % every && i !== told.x.length - 1) return;
        const row = body.insertRow();
        row.append(element("td", "number", short(at)));
        for (const line of told.lines) {
          const spread = line.low && line.low[i] != null ? ` (${say(line.low[i])} to ${say(line.high[i])})` : "";
          row.append(element("td", "number", say(line.values[i]) + spread));
        }
      });
      box.replaceChildren(table);
    };
    if (details.open) later();
  };
  details.addEventListener("toggle", () => details.open && later());
  return { details, set };
}

function element(tag, classes = "", text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}

function shapeOf({ lines }) {
  return lines.map((line) => `${line.name}${line.low ? "±" : ""}`).join("\n");
}

function lastIndex(values) {
  return values.findLastIndex((value) => value != null);
}

function positive(values) {
  return values.map((value) => (value > 0 ? value : null));
}

function faint(ink) {
  return ink.replace("rgb(", "rgba(").replace(")", ", 0.18)");
}
