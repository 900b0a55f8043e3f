// What every page does: colours, copying, tabs, and times as people say them.
import { ago, say } from "./api.js";

const THEMES = { system: ["◐", "as the system has them"], light: ["☀", "light"], dark: ["☾", "dark"] };
const theme = document.getElementById("theme");

function show(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = THEMES[name][0];
  theme.setAttribute("aria-label", `Colours: ${THEMES[name][1]}`);
  theme.title = `Colours: ${THEMES[name][1]}`;
}

theme.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  localStorage.setItem("theme", next);
  show(next);
});
show(document.documentElement.dataset.theme in THEMES ? document.documentElement.dataset.theme : "system");

// <button data-copy="#id"> copies what the element holds.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
  say("Copied.");
});

// Tabs after the pattern of WAI-ARIA: [role=tablist] of [role=tab][aria-controls]; the chosen one stands in the URL's hash.
for (const list of document.querySelectorAll("[role=tablist]")) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const choose = (chosen, { focus = false, keep = true } = {}) => {
    for (const tab of tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    }
    if (focus) chosen.focus();
    if (keep) history.replaceState(null, "", `#${chosen.getAttribute("aria-controls")}`);
    chosen.dispatchEvent(new CustomEvent("chosen", { bubbles: true }));
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    choose(tabs[(to + tabs.length) % tabs.length], { focus: true });
  });
  const named = tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash);
  choose(named ?? tabs[0], { keep: false });
}

// <time data-ago datetime> says how long ago it was, and goes on saying it.
function tellTimes() {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = ago(time.dateTime);
}
tellTimes();
setInterval(tellTimes, 10000);
