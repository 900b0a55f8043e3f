// How long a job will still take, from how long its last steps took: a range and not a number, because steps differ.
import { duration } from "./api.js";

const REPORTS = 64;
const WINDOWS = 8;

export class Pace {
  begin() {
    this.reports = [];
    this.first = null;
  }

  constructor() {
    this.begin();
  }

  // A report of progress: step, steps, at.
  add({ step, steps, at }) {
    const time = new Date(at).getTime() / 1000;
    const before = this.reports.at(-1);
    if (before && step <= before.step) this.begin(); // another attempt, from an earlier step
    this.first ??= time;
    this.reports.push({ step, steps, time });
    if (this.reports.length > REPORTS) this.reports.shift();
  }

  // { soonest, latest, gone: seconds, reports, said } for the rest; null where nothing can be said yet.
  // The last reports are parted into windows; the slowest and the fastest of their mean steps are the borders.
  left() {
    const { reports } = this;
    if (reports.length < 3) return null;
    const last = reports.at(-1);
    const rest = last.steps - last.step;
    const size = Math.max(1, Math.ceil((reports.length - 1) / WINDOWS));
    const means = [];
    for (let at = 0; at + size < reports.length; at += size) {
      const [from, to] = [reports[at], reports[at + size]];
      means.push((to.time - from.time) / (to.step - from.step));
    }
    const [fastest, slowest] = [Math.min(...means), Math.max(...means)];
    const age = Math.max(0, Math.min(Date.now() / 1000 - last.time, slowest * rest)); // since the last report
    const soonest = Math.max(0, fastest * rest - age);
    const latest = Math.max(soonest, slowest * rest - age);
    const [from, to] = [duration(soonest), duration(latest)];
    const said = from === to ? `about ${from} left` : `${from} to ${to} left`;
    return { soonest, latest, gone: last.time - this.first + age, reports: reports.length, said };
  }
}
