// The tail of a job's log, with a filter that stands in the address.

const MOST = 2000;

// place: the list of lines that the page came with. Returns { add({ at, message }) }.
export function log(place) {
  const filter = document.getElementById("filter");
  const count = document.getElementById("filtered");

  const sift = (row) => {
    row.hidden = !row.lastElementChild.textContent.toLowerCase().includes(filter.value.trim().toLowerCase());
  };

  const tell = () => {
    const shown = [...place.children].filter((row) => !row.hidden).length;
    count.textContent = filter.value.trim() ? `${shown} of ${place.children.length} lines` : "";
  };

  filter.addEventListener("input", () => {
    [...place.children].forEach(sift);
    tell();
    const address = new URL(location.href);
    if (filter.value.trim()) address.searchParams.set("log", filter.value.trim());
    else address.searchParams.delete("log");
    history.replaceState(null, "", address);
  });
  tell();
  place.scrollTop = place.scrollHeight;

  return {
    add({ at, message }) {
      document.getElementById("no-lines").hidden = true;
      const follows = place.scrollHeight - place.scrollTop - place.clientHeight < 40; // who reads further up is left there
      const row = document.createElement("li");
      const time = document.createElement("time");
      time.dateTime = at;
      time.textContent = at.slice(11, 19);
      const said = document.createElement("span");
      said.textContent = message;
      row.append(time, " ", said);
      sift(row);
      place.append(row);
      if (place.children.length > MOST) place.firstElementChild.remove();
      if (follows) place.scrollTop = place.scrollHeight;
      tell();
    },
  };
}
