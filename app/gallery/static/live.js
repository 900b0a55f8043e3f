// A job's events as they happen: after a cut the line is opened again behind the last one that arrived, so that none is
// missed and none comes twice, and it is closed when the job has ended.

const ENDED = ["succeeded", "failed", "cancelled"];
const KINDS = ["state", "preparing", "progress", "metrics", "log", "picture"];
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;

// after: number of the last event that is known already. on(kind, data, number): each event, in order, each once.
// line(state): "live", "lost" or "ended", whenever that changes. Returns a function that ends it.
export function follow(jobId, { after = 0, on, line = () => {} }) {
  let source = null;
  let timer = 0;
  let wait = FIRST_WAIT;
  let said = "";
  let over = false;

  const tell = (state) => {
    if (state !== said) line((said = state));
  };

  const end = (state) => {
    over = true;
    clearTimeout(timer);
    source?.close();
    if (state) tell(state);
  };

  const open = () => {
    if (over) return;
    source?.close();
    source = new EventSource(`/v1/jobs/${encodeURIComponent(jobId)}/events?after=${after}`);
    source.addEventListener("open", () => {
      wait = FIRST_WAIT;
      tell("live");
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        const number = Number(event.lastEventId);
        if (over || number <= after) return;
        after = number;
        const data = JSON.parse(event.data);
        on(kind, data, number);
        if (kind === "state" && ENDED.includes(data.state)) end("ended");
      });
    }
    source.addEventListener("error", () => {
      if (over) return;
      tell("lost");
      // By our own clock: how long a browser waits is its own affair, and after an answer that is an error it gives up.
      source.close();
      clearTimeout(timer);
      timer = setTimeout(open, wait);
      wait = Math.min(LONGEST_WAIT, wait * 2);
    });
  };

  // A page that comes back from sleep need not wait for the rest of its time.
  const wake = () => {
    if (over || document.hidden || said !== "lost") return;
    clearTimeout(timer);
    wait = FIRST_WAIT;
    open();
  };
  addEventListener("online", wake);
  document.addEventListener("visibilitychange", wake);
  open();
  return () => end();
}
