// The page asks for itself every few seconds and puts in place what has changed; not while nobody looks at it.
import { ago, say } from "./api.js";

const EVERY = 4000;
const pause = document.getElementById("pause");
const fresh = document.getElementById("as-of");
let paused = false;
let lost = false;

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
  pause.textContent = paused ? "Go on" : "Pause";
  if (!paused) look();
});
document.addEventListener("visibilitychange", () => document.hidden || look());
setInterval(look, EVERY);
let looking = false;

async function look() {
  if (paused || document.hidden || looking) return;
  looking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (lost) say("The service answers again.");
    lost = false;
  } catch {
    if (!lost) say("The service does not answer; what is shown is as old as the page says.");
    lost = true;
  } finally {
    looking = false;
  }
}

function put(page) {
  for (const there of document.querySelectorAll("[data-live]")) {
    const now = page.getElementById(there.id);
    for (const time of now ? [now, ...now.querySelectorAll("time")] : []) if (time.dateTime) time.textContent = ago(time.dateTime);
    if (!now || now.isEqualNode(there)) continue;
    const focused = there.contains(document.activeElement) ? document.activeElement : null;
    const href = focused?.getAttribute("href");
    there.replaceWith(document.adoptNode(now));
    if (focused) (href ? now.querySelector(`a[href="${CSS.escape(href)}"]`) : now.querySelector("[tabindex]"))?.focus();
  }
}
fresh.textContent = ago(fresh.dateTime);
