// The list of jobs: what is not at its end goes on being told, by the same page that the service makes.

const SECONDS = 3;
const table = document.getElementById("jobs");
const note = document.getElementById("live");

const living = () => table?.querySelector("[data-state=queued], [data-state=running]");

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) throw new Error(answer.status);
      update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      note.textContent = living() ? "live" : "";
    } catch {
      note.textContent = "The connection is lost; it is tried again.";
    }
    note.hidden = !note.textContent;
  }
  setTimeout(look, 1000 * SECONDS);
}

// Rows are put in place of others only where they differ, so that the focus and a selection stay.
function update(fresh) {
  const next = fresh.getElementById("jobs");
  if (!next) return;
  const focus = document.activeElement?.closest?.("[data-job]")?.dataset.job;
  const old = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.job, row]));
  const rows = [...next.tBodies[0].rows].map((row) => {
    const before = old.get(row.dataset.job);
    const same = before && before.dataset.state === row.dataset.state && cells(before) === cells(row);
    return same ? before : row;
  });
  const now = [...table.tBodies[0].rows];
  if (rows.length === now.length && rows.every((row, at) => row === now[at])) return;
  table.tBodies[0].replaceChildren(...rows);
  if (focus) table.querySelector(`[data-job="${CSS.escape(focus)}"] a`)?.focus();
}

function cells(row) {
  return [...row.querySelectorAll("[data-cell]")].map((cell) => cell.innerHTML).join();
}

if (table && (living() || table.dataset.first === "1")) setTimeout(look, 1000 * SECONDS);
