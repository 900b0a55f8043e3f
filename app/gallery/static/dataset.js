// One data set: how far the look at it is, other images, and its deletion.
import { call } from "./api.js";

const the = (id) => document.getElementById(id);
const looking = the("validating");
const sure = the("sure");

if (looking) setTimeout(look, 1000);

async function look() {
  if (document.hidden) return setTimeout(look, 1000);
  try {
    const found = await call("GET", `/v1/datasets/${encodeURIComponent(looking.dataset.name)}`);
    if (found.state !== "validating") return location.reload();
    the("validated").value = found.progress ?? 0;
    if (found.progress) the("validating-said").textContent = `${Math.round(100 * found.progress)} % looked at`;
  } catch (problem) {
    the("validating-said").textContent = problem.message;
    if (problem.status === 404) return;
  }
  setTimeout(look, 1000);
}

the("others")?.addEventListener("click", () => {
  the("seed").value = Math.floor(Math.random() * 2 ** 31);
  the("seed").form.requestSubmit();
});

the("delete")?.addEventListener("click", () => sure.showModal());
the("keep")?.addEventListener("click", () => sure.close());
the("really")?.addEventListener("click", async () => {
  const force = the("force")?.checked ? "?force=true" : "";
  try {
    await call("DELETE", `/v1/datasets/${encodeURIComponent(sure.dataset.name)}${force}`);
    location.assign("/datasets");
  } catch (problem) {
    the("sure-fault").textContent = problem.message;
    the("sure-fault").hidden = false;
    if (problem.status === 409 && the("force-row")) the("force-row").hidden = false;
  }
});
