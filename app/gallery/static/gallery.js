// The gallery works without this: here the order is applied at once, and the filters are folded where there is no room.
const form = document.getElementById("search");
const KEPT = "focus";

function narrow() {
  const filters = document.querySelector(".facets details");
  const small = matchMedia("(max-width: 48rem)");
  const fit = () => { filters.open = !small.matches; };
  small.addEventListener("change", fit);
  fit();
}

// An empty field says nothing: the address stays short. The control is in hand again after the page has come anew.
function send(control) {
  sessionStorage.setItem(KEPT, control.id);
  for (const field of form.elements) field.disabled ||= field.name && !field.value;
  if (form.elements.sort.selectedIndex === 0) form.elements.sort.disabled = true;
  form.submit();
}

if (form) {
  narrow();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(document.getElementById("q"));
  });
  form.addEventListener("change", (event) => {
    if (event.target.id === "sort" || !event.target.value) send(event.target);
  });
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (kept) document.getElementById(kept)?.focus();
  // A page that is shown again from memory has its fields back.
  addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}
