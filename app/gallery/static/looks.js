// A job's images through time: a bar to scrub, the newest as it comes, or all of them as a film.
import { call } from "./api.js";

const FILM_MILLISECONDS = 150;
//: What a picture is enlarged to at most, in CSS pixels: by a whole number, so that each of its pixels is a square.
const WIDEST = 420;
const HIGHEST = 480;

// place: the element with the picture and its bar. Returns { load(), add({ number, step }) }.
export function pictures(place, id) {
  const bar = place.querySelector("#moment");
  const said = place.querySelector("#moment-said");
  const newest = place.querySelector("#live");
  const play = place.querySelector("#play");
  let all = [];
  let live = place.dataset.live === "1";
  let film = 0;

  const follow = (on) => {
    live = on;
    newest.setAttribute("aria-pressed", live);
    const address = new URL(location.href);
    if (live) address.searchParams.delete("picture");
    else address.searchParams.set("picture", all[bar.value].number);
    history.replaceState(null, "", address);
  };

  const show = (at) => {
    const one = all[at];
    bar.max = all.length - 1;
    bar.value = at;
    const words = one.step ? `step ${one.step}` : "the start";
    said.textContent = `${words[0].toUpperCase()}${words.slice(1)} (${at + 1} of ${all.length})`;
    bar.setAttribute("aria-valuetext", words);
    const picture = place.querySelector("#picture") ?? document.createElement("img");
    picture.id = "picture";
    picture.dataset.number = one.number;
    picture.alt = `The synthetic images after step ${one.step}, a class a row`;
    picture.src = `/v1/jobs/${id}/pictures/${one.number}.png`;
    if (!picture.isConnected) {
      place.querySelector("#no-picture")?.remove();
      place.prepend(picture);
    }
    place.querySelector(".scrub").hidden = false;
    place.closest("section").hidden = false;
  };

  const enlarge = (picture) => {
    const room = Math.min(WIDEST, place.clientWidth);
    const times = Math.max(1, Math.floor(Math.min(room / picture.naturalWidth, HIGHEST / picture.naturalHeight)));
    picture.width = picture.naturalWidth * times;
  };
  // `load` does not bubble; the picture may be there already, or come later.
  place.addEventListener("load", (event) => enlarge(event.target), { capture: true });
  // One that was thinned out before it was asked for: what is kept now is shown.
  place.addEventListener("error", () => load(), { capture: true, once: true });
  const there = place.querySelector("#picture");
  if (there?.naturalWidth) enlarge(there);

  const pause = () => {
    clearInterval(film);
    film = 0;
    play.textContent = "Play";
  };

  // Whoever is quicker than the list of pictures waits for it.
  const asked = (act) => async () => {
    const wanted = Number(bar.value);
    if (!all.length) await load();
    if (all.length) act(Math.min(wanted, all.length - 1));
  };
  bar.addEventListener(
    "input",
    asked((wanted) => {
      pause();
      show(wanted);
      follow(wanted === all.length - 1);
    }),
  );
  newest.addEventListener(
    "click",
    asked(() => {
      pause();
      show(all.length - 1);
      follow(true);
    }),
  );
  const run = asked(() => {
    if (film) return pause();
    let at = Number(bar.value) >= all.length - 1 ? 0 : Number(bar.value);
    play.textContent = "Pause";
    film = setInterval(() => {
      show(at);
      if (++at >= all.length) {
        pause();
        follow(true);
      }
    }, FILM_MILLISECONDS);
  });
  play.addEventListener("click", run);

  // What is kept now: a long job's pictures are thinned out while it runs.
  const load = async () => {
    const { items } = await call("GET", `/v1/jobs/${id}/pictures`);
    all = items;
    if (!all.length) return;
    const chosen = all.findIndex((one) => one.number === Number(place.querySelector("#picture")?.dataset.number));
    show(live || chosen < 0 ? all.length - 1 : chosen);
  };

  return {
    load,
    add(one) {
      all.push(one);
      if (all.length > 70) load();
      else if (live && !film) show(all.length - 1);
      else {
        bar.max = all.length - 1;
      }
    },
  };
}
