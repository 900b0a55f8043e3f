// The form of a new job: generated from the catalog, checked by the service at each change, kept in the address.
import { call, duration, Problem, say, size } from "./api.js";
import { element } from "./fields.js";
import { BUDGETS, callsOf, chosenOf, queryOf, recipeOf } from "./recipe.js";
import { slots } from "./slots.js";

const PAUSE = 300; // milliseconds without a change, after which the service is asked
const form = document.getElementById("form");
const knobs = document.getElementById("knobs");
const cost = document.getElementById("cost");
const send = document.getElementById("send");
const reset = document.getElementById("reset");
const dataset = document.getElementById("dataset");
const budgetKind = document.getElementById("budget-kind");
const budget = document.getElementById("budget");
const may = form.getAttribute("data-submit") === "1"; // `form.dataset` is the field of that name
const keyed = Boolean(document.querySelector("meta[name=csrf-token]").content);

let told = null;
let timer = 0;
let asking = null;
let chosen = { given: chosenOf(new URLSearchParams(location.search)).given };

function read() {
  chosen.method = form.elements.method.value;
  chosen.dataset = dataset.value;
  chosen.budget = [budgetKind.value, budget.value.trim()];
}

function changed() {
  read();
  const recipe = recipeOf(chosen);
  const query = queryOf(chosen);
  history.replaceState(null, "", `${location.pathname}?${query}${location.hash}`);
  const calls = callsOf(recipe, { url: location.origin, keyed });
  for (const [kind, text] of Object.entries(calls)) document.getElementById(`text-${kind}`).textContent = text;
  document.getElementById("about-dataset").textContent = dataset.selectedOptions[0]?.dataset.about ?? "";
  reset.hidden = !chosen.given.size;
  cost.classList.add("old");
  if (send) send.disabled = true;
  form.setAttribute("data-checked", "");
  clearTimeout(timer);
  asking?.abort();
  if (!may) return;
  if (chosen.dataset) timer = setTimeout(() => check(recipe), PAUSE);
  else cost.replaceChildren(element("dt", "", "First"), element("dd", "", "Choose a data set."));
}

async function check(recipe) {
  asking = new AbortController();
  try {
    const plan = await call("POST", "/v1/jobs?dry_run=true", recipe, { signal: asking.signal });
    tellFaults([]);
    tellCost(plan);
    if (send) send.disabled = false;
    form.setAttribute("data-checked", "good");
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    tellFaults(problem.errors.length ? problem.errors : [{ pointer: "", detail: problem.message }]);
    cost.replaceChildren();
    document.getElementById("existing").hidden = true;
    form.setAttribute("data-checked", "refused");
  }
}

// Each fault stands beside its field, or beside what the field is part of; all of them stand beside the button, too.
function tellFaults(faults) {
  for (const place of form.querySelectorAll("[data-fault]")) {
    place.hidden = true;
    place.textContent = "";
  }
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  const list = element("ul");
  for (const { pointer, detail } of faults) {
    const beside = placeOf(pointer);
    const item = element("li");
    if (beside) {
      beside.hidden = false;
      beside.textContent += `${beside.textContent ? "; " : ""}${detail}`;
      const control = form.querySelector(`[aria-describedby~="${beside.id}"]`);
      control?.setAttribute("aria-invalid", "true");
      const link = element("a", "", pointer.slice(1).replaceAll("/", ".") || "recipe");
      link.href = `#${control?.id ?? "form"}`;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        const details = control?.closest("details");
        if (details) details.open = true;
        control?.focus();
      });
      item.append(link, `: ${detail}`);
    } else item.textContent = `${pointer.slice(1).replaceAll("/", ".")}${pointer ? ": " : ""}${detail}`;
    list.append(item);
  }
  document.getElementById("faults").replaceChildren(...(faults.length ? [list] : []));
}

function placeOf(pointer) {
  const parts = pointer.split("/").slice(1);
  if (BUDGETS.includes(parts[0])) parts[0] = "ipc";
  for (let length = parts.length; length > 0; length--) {
    const found = form.querySelector(`[data-fault="/${CSS.escape(parts.slice(0, length).join("/")).replaceAll("\\/", "/")}"]`);
    if (found) return found;
  }
  return form.querySelector(`[data-fault="/${parts[0]}/kind"]`);
}

function tellCost({ ipc, estimate, existing_job_id: existing, quotas }) {
  const { seconds, seconds_p90: most, basis, bytes, memory_bytes: memory, need, queue_position: place, seconds_ahead: ahead } = estimate;
  const facts = [
    ["Holds", `${ipc.toLocaleString("en-GB")} image${ipc === 1 ? "" : "s"} per class in ${size(bytes)}`],
    ["Takes", `about ${duration(seconds)}; nine of ten below ${duration(most)}`],
    ["Known from", basis.jobs ? `${basis.jobs} finished job${basis.jobs === 1 ? "" : "s"} with the same ${{ recipe: "recipe", options: "data, budget and options", ipc: "data, budget and method", method: "data and method" }[basis.match]}` : "no job like it: a first guess, right in its order of magnitude if at all"],
    ["Runs on", `a ${need.toUpperCase()}, in about ${size(memory)} of its memory`],
    ["Waits", ahead === null ? "until a worker for it is alive: none is now" : place === 1 && ahead < 1 ? "for nothing: it is next" : `number ${place} in the queue, about ${duration(ahead)}`],
  ];
  if (quotas.jobs.limit !== null) facts.push(["Your key", `has ${quotas.jobs.used} of the ${quotas.jobs.limit} jobs that it may have at once`]);
  if (quotas.device_seconds.limit !== null) facts.push(["Today", `${duration(quotas.device_seconds.used)} of ${duration(quotas.device_seconds.limit)} of devices used`]);
  cost.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
  cost.classList.remove("old");
  const note = document.getElementById("existing");
  note.hidden = !existing;
  if (!existing) return;
  const link = element("a", "", "a job of this very recipe");
  link.href = `/jobs/${existing}`;
  note.replaceChildren("There is ", link, " already; submitted again it makes the same once more.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!send || send.disabled) return;
  send.disabled = true;
  // Sent twice by a slip of the network, it is one job all the same.
  const word = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const job = await call("POST", "/v1/jobs", recipeOf(chosen), { headers: { "idempotency-key": word } });
    location.assign(`/jobs/${job.id}`);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    tellFaults(problem.errors.length ? problem.errors : [{ pointer: "", detail: problem.message }]);
    send.disabled = false;
  }
});
form.addEventListener("change", (event) => {
  if (event.target.name !== "method") return;
  chosen.given.clear(); // options of one method mean nothing to another
  read();
  slots(knobs, told, chosen, changed);
  changed();
});
reset.addEventListener("click", () => {
  chosen.given.clear();
  slots(knobs, told, chosen, changed);
  changed();
});
for (const control of [dataset, budgetKind, budget]) control.addEventListener("input", changed);

try {
  told = await call("GET", "/v1/methods");
  read();
  slots(knobs, told, chosen, changed);
  changed();
} catch (problem) {
  if (!(problem instanceof Problem)) throw problem;
  say(problem.message);
}
