// The curves of a job: its loss with all its terms, and what it measures of accuracy on the way.
import { chart } from "./chart.js";

//: Recorded beside them, and no term of a loss.
const OTHERS = ["images_per_second", "device_memory_bytes", "step_size"];

// losses, accuracies: elements to fill; the second stays hidden while nothing of the kind is measured.
// Returns { keep(data), add(data), draw() }: `data` is that of an event `metrics`; `add` draws it, too, soon.
export function curves({ losses, accuracies }) {
  const points = new Map(); // step -> values; a later attempt's come in place of an earlier one's
  const charts = {};
  let soon = 0;

  const keep = ({ step, values }) => points.set(step, values ?? {});

  const draw = () => {
    clearTimeout(soon);
    soon = 0;
    const steps = [...points.keys()].sort((a, b) => a - b);
    const names = [...new Set(steps.flatMap((step) => Object.keys(points.get(step))))].filter((name) => !OTHERS.includes(name));
    const lines = (wanted) =>
      wanted.map((name) => ({ name: name.replaceAll("_", " "), values: steps.map((step) => points.get(step)[name] ?? null) }));
    const measured = names.filter((name) => name.includes("accuracy"));
    charts.losses ??= chart(losses, { label: "Loss", y: "loss" });
    charts.losses.set({ x: steps, lines: lines(names.filter((name) => !measured.includes(name))) });
    accuracies.hidden = !measured.length;
    if (!measured.length) return;
    charts.accuracies ??= chart(accuracies, { label: "Accuracy while it learns", y: "%", percent: true, log: null });
    charts.accuracies.set({ x: steps, lines: lines(measured) });
  };

  const add = (data) => {
    keep(data);
    soon ||= setTimeout(draw, 250); // a quick job tells a hundred points a second
  };

  return { keep, add, draw };
}
