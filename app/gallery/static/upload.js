// Bringing a data set: the file in pieces by tus (vendor/tus), so that a lost line, a reload or a restart of the service
// costs a piece and no more, and none of it lies in memory; then its registration, after which its page takes over.
import { call, duration, Problem, say, size } from "./api.js";

// The service keeps an upload as objects of this size (app/datasets/uploads.py).
const PIECE = 4 * 1024 * 1024;
const AGAIN = [0, 1000, 3000, 5000, 10000, 20000, 40000];
const form = document.getElementById("upload");
const the = (id) => document.getElementById(id);
const [picker, drop, name, licence, send, stop] = ["file", "drop", "name", "licence", "send", "stop"].map(the);
const most = Number(form.dataset.most);
let file = null; // what was picked or dropped
let sending = null; // the tus upload in hand
let whole = null; // {file, id}: all there, and not registered yet

if (location.hash === "#bring" || location.hash === "#upload") the("bring").open = true;
picker.addEventListener("change", () => take(picker.files[0] ?? null));
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  if (sending || !event.dataTransfer.files.length) return;
  picker.files = event.dataTransfer.files; // so that the picker says what is chosen
  take(picker.files[0]);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  begin().catch(fail);
});
stop.addEventListener("click", async () => {
  const ended = sending;
  rest();
  await ended.abort(true).catch(() => {}); // what the service has of it expires by itself where it cannot be told
  say("The upload was cancelled, and what was sent of it thrown away.");
});
addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});

function take(chosen) {
  file = chosen;
  fault("file", file && file.size > most ? `has ${size(file.size)}; an upload may have at most ${size(most)} here` : "");
  if (!file || name.value) return;
  name.value = file.name.replace(/\.(npz|zip|tar|tgz|tar\.gz|parquet)$/i, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[._-]+|-+$/g, "").slice(0, 64);
}

async function begin() {
  for (const field of ["file", "name", "licence", "upload"]) fault(field, "");
  if (!file) return fault("file", "choose a file, or drop one here");
  if (file.size > most) return take(file);
  if (!name.value.trim()) return fault("name", "give it a name");
  await checkName(name.value.trim());
  if (whole?.file !== file) whole = { file, id: await transfer(file) };
  told("All sent; registering it …", 1);
  const body = { name: name.value.trim(), upload: whole.id, licence: licence.value.trim() || null };
  const made = await call("POST", "/v1/datasets", body);
  location.assign(`/datasets/${encodeURIComponent(made.name)}`);
}

// Before the file goes over the line rather than after it; of very many data sets the service is asked at the end.
async function checkName(wanted) {
  const { items } = await call("GET", "/v1/datasets?limit=200");
  const taken = items.find((one) => one.name.toLowerCase() === wanted.toLowerCase() && one.state !== "refused");
  if (!taken) return;
  const detail = `A data set is named ${taken.name} already; choose another name.`;
  throw new Problem({ type: "/problems/name-taken", detail }, 409);
}

function transfer(chosen) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let first = null; // where this went on
    sending = new tus.Upload(chosen, {
      endpoint: "/v1/uploads",
      chunkSize: PIECE,
      retryDelays: AGAIN,
      metadata: { filename: chosen.name },
      headers: { "x-csrf-token": document.querySelector("meta[name=csrf-token]").content },
      removeFingerprintOnSuccess: true,
      onProgress: (sent, total) => {
        first ??= sent;
        const speed = (sent - first) / ((performance.now() - began) / 1000);
        const rest = speed > 0 ? `, ${size(speed)}/s, ${duration((total - sent) / speed)} left` : "";
        told(`${size(sent)} of ${size(total)}${rest}`, total ? sent / total : 1);
      },
      onShouldRetry: (error, attempt) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        const again = status === 0 || status === 409 || status === 429 || status >= 500;
        if (again) told(`The line was lost; trying again in ${duration(AGAIN[attempt] / 1000)} from where it stood.`);
        return again && status !== 507;
      },
      onError: reject,
      onSuccess: () => resolve(sending.url.split("/").pop()),
    });
    send.disabled = picker.disabled = true;
    stop.hidden = false;
    the("going").hidden = false;
    told("Asking where it stands …", 0);
    sending.findPreviousUploads().then((before) => {
      if (before.length) sending.resumeFromPreviousUpload(before[0]);
      sending.start();
    }, reject);
  }).finally(rest);
}

function rest() {
  sending = null;
  send.disabled = picker.disabled = false;
  stop.hidden = true;
  if (!whole) the("going").hidden = true;
}

function told(text, share) {
  the("sent").textContent = text;
  if (share !== undefined) the("progress").value = share;
}

// The service's own words, beside the field that they are about.
function fail(error) {
  rest();
  the("going").hidden = true;
  const problem = error instanceof Problem ? error : fromTus(error);
  const kind = problem.body.type ?? "";
  if (kind === "/problems/name-taken" || kind === "/problems/invalid-name") return fault("name", problem.message, true);
  if (kind === "/problems/not-found") whole = null; // the upload has expired: it is sent once more
  const fields = { "/name": "name", "/upload": "file", "/form/file": "file", "/licence": "licence" };
  let beside = false;
  for (const { pointer, detail } of problem.errors) {
    const field = fields[pointer] ?? (pointer.startsWith("/upload") ? "file" : "upload");
    fault(field, field === "upload" ? `${pointer || "/"} ${detail}` : detail, !beside);
    beside = true;
  }
  if (!beside) fault(problem.status === 413 ? "file" : "upload", problem.message);
}

function fromTus(error) {
  const answer = error.originalResponse;
  if (!answer) return new Problem({ detail: "The line was lost and did not come back. Press Upload to go on from where it stood." }, 0);
  try {
    return new Problem(JSON.parse(answer.getBody()), answer.getStatus());
  } catch {
    return new Problem({}, answer.getStatus());
  }
}

function fault(field, text, focus = false) {
  const place = the(`${field}-fault`);
  place.textContent = text;
  place.hidden = !text;
  const input = the(field);
  if (field !== "upload") input.toggleAttribute("aria-invalid", Boolean(text));
  if (field !== "upload" && text) input.setAttribute("aria-invalid", "true");
  if (focus && field !== "upload") input.focus();
}
