// The page of an artifact that was deleted.
import { call } from "./api.js";

const id = document.getElementById("deleted").dataset.id;
document.getElementById("restore")?.addEventListener("click", async () => {
  const fault = document.getElementById("fault");
  try {
    await call("POST", `/v1/artifacts/${id}/restore`);
    location.assign(`/artifacts/${id}`);
  } catch (error) {
    fault.textContent = error.message;
    fault.hidden = false;
  }
});
