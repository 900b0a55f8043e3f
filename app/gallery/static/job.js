// One job, live. The page comes whole from the service; what changes often (progress, curves, pictures, log) goes on here
// from the job's events, and what changes seldom (state, timeline, result) is taken anew from the page itself, so that
// there is one place for its words.
import { call, duration, Problem, say } from "./api.js";
import { curves } from "./curves.js";
import { Pace } from "./pace.js";
import { follow } from "./live.js";
import { log } from "./log.js";
import { pictures } from "./looks.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const QUEUE_SECONDS = 4;
const MEASURING_SECONDS = 2;

const page = document.getElementById("job");
const id = page.dataset.id;
const pace = new Pace();
const drawn = curves({ losses: document.getElementById("losses"), accuracies: document.getElementById("accuracies") });
const seen = pictures(document.getElementById("pictures"), id);
const lines = log(document.getElementById("log"));
let ended = page.dataset.ended === "1";
let stop = () => {};
let due = 0;
let newest = null; // report of progress, of this attempt

function on(kind, data, number) {
  if (kind === "progress") {
    pace.add(data);
    showProgress((newest = data));
  } else if (kind === "metrics") drawn.add(data);
  else if (kind === "log") lines.add(data);
  else if (kind === "picture") seen.add({ number, step: data.step });
  else if (kind === "preparing") document.getElementById("far").textContent = `${data.what} ${data.done}/${data.total}`;
  else if (kind === "state") {
    if (data.state !== "running" || !data.cancel_requested) {
      newest = null; // another attempt, or none
      pace.begin();
    }
    ended = ENDED.includes(data.state);
    if (ended) document.getElementById("band").hidden = true;
    refresh();
  }
  page.dataset.after = number;
}

function line(state) {
  const place = document.getElementById("line");
  page.dataset.line = state;
  place.classList.toggle("lost", state === "lost");
  place.textContent = { live: "live", lost: "The connection is lost; it is tried again, and nothing will be missed.", ended: "" }[state];
}

function showProgress({ step, steps, images_per_second: speed }) {
  const part = page.querySelector("[data-part=progress]");
  document.getElementById("far").textContent = `Step ${step} of ${steps} (${Math.floor((100 * step) / steps)} %)`;
  part.querySelector(".bar-done").setAttribute("width", (100 * step) / steps);
  part.querySelector("meter").value = step / steps;
  document.getElementById("speed").textContent = speed ? `${speed.toPrecision(3)} images/s` : "";
  const left = pace.left();
  document.getElementById("left").textContent = left === null ? "" : left.said;
  const band = document.getElementById("band");
  band.hidden = left === null || step >= steps;
  if (band.hidden) return;
  const whole = left.gone + left.latest;
  const place = (name, from, to) => {
    const rect = band.querySelector(`.band-${name}`);
    rect.setAttribute("x", (100 * from) / whole);
    rect.setAttribute("width", (100 * (to - from)) / whole);
  };
  place("gone", 0, left.gone);
  place("sure", left.gone, left.gone + left.soonest);
  place("unsure", left.gone + left.soonest, whole);
  const clock = (seconds) => new Date(Date.now() + 1000 * seconds).toLocaleTimeString("en-GB");
  document.getElementById("band-from").textContent = `${duration(left.gone)} so far, in this attempt`;
  document.getElementById("band-said").textContent = `ends between ${clock(left.soonest)} and ${clock(left.latest)}, by the speed of the last ${left.reports} reports`;
}

// The parts that the service words, from the page as it is now. One that has not changed is left alone: the focus may be in it.
async function refresh() {
  clearTimeout(due);
  let fresh;
  try {
    const answer = await fetch(`/jobs/${id}`);
    if (!answer.ok) throw new Error(answer.status);
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    due = setTimeout(refresh, 1000 * QUEUE_SECONDS);
    return;
  }
  const words = document.getElementById("line");
  for (const part of page.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!next || part.innerHTML === next.innerHTML) continue;
    part.replaceChildren(...next.childNodes);
    part.querySelector("#line")?.replaceWith(words);
  }
  if (newest && !ended) showProgress(newest); // the events are ahead of the page
  document.title = fresh.title;
  const now = fresh.getElementById("job");
  const back = ended && now.dataset.ended === "0";
  ended = now.dataset.ended === "1";
  if (back) go();
  again();
}

// What no event tells: the place in the queue, and the evaluations of an artifact that is there.
function again() {
  clearTimeout(due);
  if (document.getElementById("queue")) due = setTimeout(refresh, 1000 * QUEUE_SECONDS);
  else if (page.querySelector("[data-part=result] .state-queued, [data-part=result] meter")) due = setTimeout(refresh, 1000 * MEASURING_SECONDS);
}

function go() {
  stop();
  if (!ended) stop = follow(id, { after: Number(page.dataset.after), on, line });
}

page.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post]");
  if (!button) return;
  button.disabled = true;
  try {
    await call("POST", `/v1/jobs/${id}/${button.dataset.post}`);
    say(button.dataset.post === "cancel" ? "Called off." : "Queued again.");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    say(problem.message);
    button.disabled = false;
  }
  await refresh();
});

// What another tab has done meanwhile to a job that had ended, such as a retry.
document.addEventListener("visibilitychange", () => !document.hidden && ended && refresh());

async function begin() {
  const after = Number(page.dataset.after);
  let cursor = "0";
  try {
    while (cursor !== null) {
      const { items, next_cursor: next } = await call("GET", `/v1/jobs/${id}/metrics?limit=10000&cursor=${cursor}`);
      for (const { number, kind, at, data } of items) {
        if (number > after) continue;
        if (kind === "metrics") drawn.keep(data);
        else pace.add((newest = { ...data, at }));
      }
      cursor = next;
    }
    await seen.load();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    say(problem.message);
  }
  drawn.draw();
  if (page.dataset.step !== String(newest?.step)) newest = null; // it is of an attempt before this one
  if (newest && !ended) showProgress(newest);
  go();
  again();
}
begin();
