// Fields of a form, made from JSON Schema: its sentence, unit, bounds and default, and whether it was changed.

// path: as of the CLI's --set. on(value): the value as JSON has it, undefined for the default.
// Returns the field's element; `data-pointer` is where a fault of it is told.
export function field(path, schema, { value, on }) {
  const name = path.split(".").at(-1);
  const id = `f-${path.replaceAll(".", "-")}`;
  const place = element("div", "field");
  place.dataset.pointer = `/${path.replaceAll(".", "/")}`;
  const label = element("label", "", name.replaceAll("_", " "));
  label.htmlFor = id;
  const control = controlOf(schema, value ?? schema.default);
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-about ${id}-fault`);
  const undo = element("button", "quiet undo", "undo");
  undo.type = "button";
  undo.setAttribute("aria-label", `Undo ${name.replaceAll("_", " ")}`);
  const about = element("p", "about", [sentence(schema.description), ...facts(schema)].filter(Boolean).join(" · "));
  about.id = `${id}-about`;
  const fault = element("p", "fault");
  fault.id = `${id}-fault`;
  fault.dataset.fault = place.dataset.pointer;
  fault.hidden = true;
  const mark = (changed) => {
    place.classList.toggle("changed", changed);
    undo.hidden = !changed;
  };
  mark(value !== undefined);
  control.addEventListener("input", () => {
    const given = valueOf(control, schema);
    const same = given === undefined || JSON.stringify(given) === JSON.stringify(schema.default);
    mark(!same);
    on(same ? undefined : given);
  });
  undo.addEventListener("click", () => {
    fill(control, schema.default);
    mark(false);
    on(undefined);
    control.focus();
  });
  label.append(undo);
  place.append(label, control, about, fault);
  return place;
}

function controlOf(schema, value) {
  if (schema.enum) {
    const select = element("select");
    const options = value === undefined ? ["", ...schema.enum] : schema.enum;
    for (const one of options) select.append(new Option(one, one));
    fill(select, value);
    return select;
  }
  const input = element("input");
  if (schema.type === "boolean") input.type = "checkbox";
  else if (schema.type === "integer" || schema.type === "number") {
    input.type = "number";
    input.step = "any"; // what is no whole number, or out of bounds, the service says better than a browser
  }
  input.autocomplete = "off";
  fill(input, value);
  return input;
}

function fill(control, value) {
  if (control.type === "checkbox") control.checked = Boolean(value);
  else control.value = value === undefined || value === null ? "" : Array.isArray(value) ? value.join(", ") : value;
}

function valueOf(control, schema) {
  if (control.type === "checkbox") return control.checked;
  const text = control.value.trim();
  if (schema.type === "array") return text.split(",").map((word) => word.trim()).filter(Boolean);
  if (text === "" && schema.type === "string" && schema.default) return "";
  if (text === "") return undefined;
  if (schema.type === "integer" || schema.type === "number") return Number(text);
  return text;
}

function facts(schema) {
  const out = [];
  if (schema.unit) out.push(`in ${schema.unit}`);
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  const from = low === undefined ? "" : schema.minimum === undefined ? `above ${short(low)}` : `from ${short(low)}`;
  const to = high === undefined ? "" : schema.maximum === undefined ? `below ${short(high)}` : `to ${short(high)}`;
  if (from || to) out.push(`${from} ${to}`.trim());
  if (schema.default !== undefined && schema.default !== "") {
    out.push(`default ${Array.isArray(schema.default) ? schema.default.join(", ") || "none" : schema.type === "number" || schema.type === "integer" ? short(schema.default) : schema.default}`);
  }
  return out;
}

function short(value) {
  return Math.abs(value) >= 1e15 ? value.toExponential(0).replace("e+", "e") : value.toLocaleString("en-GB", { maximumFractionDigits: 9 });
}

function sentence(text = "") {
  return text && text[0].toUpperCase() + text.slice(1);
}

export function element(tag, classes = "", text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}
