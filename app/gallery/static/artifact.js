// The page of an artifact: what is looked at, and what is done with it.
import { call, say } from "./api.js";
import { memory } from "./compose.js";
import { drawing, mixing } from "./draw.js";
import { images } from "./images.js";

const facts = JSON.parse(document.getElementById("artifact").dataset.facts);
const LOOK_AGAIN = 2000; // milliseconds between two looks at an evaluation
const fault = document.getElementById("fault");

images(facts);
memory(facts);
drawing(facts);
mixing(facts);

// Does something; what goes wrong is said where it was asked for.
async function act(work, place = fault) {
  place.hidden = true;
  try {
    await work();
  } catch (error) {
    place.textContent = [error.message, ...(error.errors ?? []).map((one) => `${one.pointer}: ${one.detail}`)].join(" ");
    place.hidden = false;
  }
}

document.getElementById("name-it")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = event.target.elements.alias.value.trim();
  act(async () => {
    await call("PUT", `/v1/aliases/${encodeURIComponent(name)}`, { artifact_id: facts.id });
    location.reload();
  });
});

for (const button of document.querySelectorAll("[data-remove-alias]")) {
  button.addEventListener("click", () =>
    act(async () => {
      const name = button.dataset.removeAlias;
      await call("DELETE", `/v1/aliases/${encodeURIComponent(name)}`);
      if (name === facts.name) location.assign(`/artifacts/${facts.id}`);
      else location.reload();
    }),
  );
}

const remove = document.getElementById("delete");
remove?.addEventListener("click", () => {
  if (!remove.dataset.sure) {
    remove.dataset.sure = "asked";
    remove.textContent = "Delete it: sure?";
    say("Press again to delete it. It can be restored until the sweep.");
    return;
  }
  act(async () => {
    await call("DELETE", `/v1/artifacts/${facts.id}`);
    location.assign(`/artifacts/${facts.id}`);
  });
});
remove?.addEventListener("blur", () => {
  delete remove.dataset.sure;
  remove.textContent = "Delete";
});

const evaluate = document.getElementById("evaluate");
evaluate?.addEventListener("submit", (event) => {
  event.preventDefault();
  const { networks, repeats } = evaluate.elements;
  const body = { networks: networks.value.split(",").map((name) => name.trim()).filter(Boolean) };
  if (repeats.value) body.repeats = Number(repeats.value);
  act(async () => {
    await call("POST", `/v1/artifacts/${facts.id}/evaluations`, body);
    history.replaceState(null, "", "#results");
    location.reload();
  }, evaluate.querySelector(".fault"));
});

// While something is measured: how far it is, and the page anew when one has ended.
if (facts.measuring) {
  const states = (rows) => rows.map((row) => row.state).join();
  let before = null;
  const timer = setInterval(async () => {
    if (document.hidden) return;
    const { items } = await call("GET", `/v1/artifacts/${facts.id}/evaluations`).catch(() => ({ items: null }));
    if (items === null) return;
    if (before !== null && states(items) !== before) {
      clearInterval(timer);
      location.reload();
    }
    before = states(items);
  }, LOOK_AGAIN);
}
