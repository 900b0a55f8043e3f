// The form's sections, from GET /v1/methods: one a slot of the equation, with a field for each option of what is chosen.
import { element, field } from "./fields.js";

const TITLES = {
  parametrization: "Parametrization: what is learnt and stored",
  objective: "Objective: what is minimised",
  selection: "Selection: which real images",
  penalties: "Penalties: what else is added to the loss",
  evaluation: "Evaluation: where it is measured",
};
const RUN = ["steps", "seed", "device", "priority", "base_artifact", "webhook"];
const OPEN = "run";

// place: to be filled. told: the answer of GET /v1/methods. chosen: what the form says. on(): after each change.
export function slots(place, told, chosen, on) {
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.slot));
  if (!place.children.length) open.add(OPEN);
  const preset = told.items.find((item) => item.name === chosen.method);
  const whole = told.recipe.properties;

  const set = (path, value) => {
    if (value === undefined) chosen.given.delete(path);
    else chosen.given.set(path, value);
    count();
    on();
  };
  const made = (path, schema) => field(path, schema, { value: chosen.given.get(path), on: (value) => set(path, value) });

  const section = (name, title, fields) => {
    const details = element("details", "card slot");
    details.dataset.slot = name;
    details.open = open.has(name);
    const summary = element("summary");
    summary.append(element("h2", "", title), element("span", "chip changes"));
    const grid = element("div", "fields");
    grid.append(...fields);
    details.append(summary, grid);
    return details;
  };

  // The fields of a slot that has kinds: the kind, and the options of the one that is chosen.
  const kinds = (slot) => {
    const usual = preset?.composes[slot];
    const kind = chosen.given.get(`${slot}.kind`) ?? usual;
    const choices = whole[slot].oneOf;
    const picked = choices.find((one) => one.title === kind);
    const asked = { type: "string", enum: choices.map((one) => one.title), default: usual, description: picked?.description ?? "the kind; required where there is no method" };
    const first = field(`${slot}.kind`, asked, {
      value: chosen.given.get(`${slot}.kind`),
      on: (value) => {
        for (const path of [...chosen.given.keys()]) if (path.startsWith(`${slot}.`)) chosen.given.delete(path);
        set(`${slot}.kind`, value);
        slots(place, told, chosen, on); // other options, with other defaults
        document.getElementById(`f-${slot}-kind`).focus();
      },
    });
    const options = kind === usual ? preset?.options.properties[slot] : picked;
    return [first, ...properties(slot, options)];
  };
  const properties = (slot, schema) =>
    Object.entries(schema?.properties ?? {}).filter(([name]) => name !== "kind").map(([name, one]) => made(`${slot}.${name}`, one));

  // Penalties are a list: one value, kept in the order in which they were ticked.
  const penalties = () => {
    const list = () => chosen.given.get("penalties") ?? [];
    return told.penalties.flatMap(({ kind, summary, paper, options }) => {
      const at = list().findIndex((one) => one.kind === kind);
      const tick = { type: "boolean", default: false, description: `${summary} (${paper.authors.split(",")[0]} et al., ${paper.venue} ${paper.year})` };
      const first = field(`penalties.${at < 0 ? kind : at}`, tick, {
        value: at < 0 ? undefined : true,
        on: (value) => {
          const next = value ? [...list(), { kind }] : list().filter((one) => one.kind !== kind);
          set("penalties", next.length ? next : undefined);
          slots(place, told, chosen, on);
        },
      });
      first.querySelector("label").firstChild.textContent = kind.replaceAll("_", " ");
      if (at < 0) return [first];
      const fields = Object.entries(options.properties).filter(([name]) => name !== "kind").map(([name, one]) =>
        field(`penalties.${at}.${name}`, one, {
          value: list()[at][name],
          on: (value) => set("penalties", list().map((item, i) => (i === at ? withOption(item, name, value) : item))),
        }),
      );
      return [first, ...fields];
    });
  };

  const count = () => {
    for (const details of place.querySelectorAll("details")) {
      const names = details.dataset.slot === "run" ? RUN : [details.dataset.slot];
      const changes = [...chosen.given.keys()].filter((path) => names.includes(path.split(".")[0])).length;
      details.querySelector(".changes").textContent = changes ? `${changes} changed` : "";
      details.querySelector(".changes").hidden = !changes;
    }
  };

  const options = preset?.options.properties ?? { selection: whole.selection, evaluation: whole.evaluation };
  const steps = { ...whole.steps, ...(options.steps ?? {}) };
  place.replaceChildren(
    section("run", "Run", RUN.map((name) => made(name, name === "steps" ? steps : whole[name]))),
    section("parametrization", TITLES.parametrization, kinds("parametrization")),
    section("objective", TITLES.objective, kinds("objective")),
    section("selection", TITLES.selection, properties("selection", options.selection)),
    section("penalties", TITLES.penalties, penalties()),
    section("evaluation", TITLES.evaluation, properties("evaluation", options.evaluation)),
  );
  count();
}

function withOption(item, name, value) {
  const next = { ...item };
  if (value === undefined) delete next[name];
  else next[name] = value;
  return next;
}
