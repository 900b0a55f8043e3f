// What the form says, as a recipe, as an address, and as the same call in a terminal, in Python and with curl.

export const BUDGETS = ["ipc", "ratio", "bytes"];

// chosen: { method, dataset, budget: [name, value], given: Map of path -> value }. A path is as of the CLI's --set.
export function recipeOf({ method, dataset, budget, given }) {
  const recipe = {};
  if (method) recipe.method = method;
  if (dataset) recipe.dataset = dataset;
  if (budget[1] !== "") recipe[budget[0]] = number(budget[1]);
  for (const [path, value] of given) lay(recipe, path.split("."), value);
  return recipe;
}

// The query of this page's address. A mix of one's own is a dash: without a method there the form begins with its own.
export function queryOf({ method, dataset, budget, given }) {
  const query = new URLSearchParams();
  query.set("method", method || "-");
  if (dataset) query.set("dataset", dataset);
  if (budget[1] !== "") query.set(budget[0], budget[1]);
  for (const [path, value] of given) query.append("set", `${path}=${written(value)}`);
  return query;
}

export function chosenOf(query) {
  const given = new Map();
  for (const text of query.getAll("set")) {
    const [path, ...rest] = text.split("=");
    if (path && rest.length) given.set(path, read(rest.join("=")));
  }
  return { method: query.get("method"), given };
}

export function callsOf(recipe, { url, keyed }) {
  return { cli: cli(recipe, url), python: python(recipe, url), curl: curl(recipe, { url, keyed }) };
}

function cli(recipe, url) {
  const parts = ["distilled submit", `--url ${quoted(url)}`];
  for (const [name, value] of Object.entries(recipe)) {
    if (["method", "dataset", "seed", "steps", ...BUDGETS].includes(name)) parts.push(`--${name} ${quoted(String(value))}`);
    else if (name === "base_artifact") parts.push(`--base ${quoted(value)}`);
    else for (const [path, leaf] of leaves(name, value)) parts.push(`--set ${quoted(`${path}=${written(leaf)}`)}`);
  }
  return lines(parts);
}

function curl(recipe, { url, keyed }) {
  const parts = [`curl -f ${quoted(`${url}/v1/jobs`)}`];
  if (keyed) parts.push('-H "Authorization: Bearer $DISTILLED_API_KEY"');
  parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(recipe))}`);
  return lines(parts);
}

function python(recipe, url) {
  const fields = Object.entries(recipe).map(([name, value]) => `    ${name}=${literal(value)},`);
  return ["import distilled", "", `client = distilled.Client(${literal(url)})`, "job = client.submit(", ...fields, ")", "client.wait(job)"].join("\n");
}

function leaves(path, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[path, value]];
  return Object.entries(value).flatMap(([name, inner]) => leaves(`${path}.${name}`, inner));
}

function lay(holder, [step, ...rest], value) {
  if (rest.length) lay((holder[step] ??= {}), rest, value);
  else holder[step] = value;
}

// As `--set` reads it back: words stand for themselves unless they would be read as something else.
function written(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return read(value) === value ? value : JSON.stringify(value);
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function number(text) {
  const value = Number(text);
  return Number.isFinite(value) ? value : text;
}

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${literal(inner)}`).join(", ")}}`;
  return JSON.stringify(value);
}

function lines(parts) {
  return parts.join(" \\\n  ");
}
