// How a page speaks to the service: the same API as everybody, with the page's own token where something changes.

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? body.title ?? `the service answered ${status}`);
    this.body = body;
    this.status = status;
    this.errors = body.errors ?? [];
  }
}

// The answer's body, parsed. Throws Problem with the service's own words, or with ours where it cannot be reached.
export async function call(method, path, body, { headers = {}, signal } = {}) {
  const sent = { accept: "application/json", ...headers };
  if (method !== "GET") sent["x-csrf-token"] = document.querySelector("meta[name=csrf-token]").content;
  if (body !== undefined) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service cannot be reached; is it running, and is the network up?" }, 0);
  }
  const text = await answer.text();
  let told = {};
  try {
    told = text ? JSON.parse(text) : {};
  } catch {
    told = { detail: `the service answered ${answer.status} with no JSON` };
  }
  if (!answer.ok) throw new Problem(told, answer.status);
  return told;
}

// Says something to everybody, also to those who listen to the page.
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => place.classList.remove("shown"), 6000);
}

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.95 && unit < units.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function ago(moment) {
  const seconds = (Date.now() - new Date(moment)) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}
