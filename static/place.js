// @ts-check
// Takes the place that the link of a mail proves to this browser. The proof stands behind the #, which no server is sent.
import { $, call, keep, kept, phrase } from "./api.js";

const event = document.body.dataset.event || "";
const me = `/api/v1/events/${event}/line/me`;
const proof = location.hash.slice(1) || kept(`link-${event}`);

/** Shows the place, or says why it cannot be had. */
async function open() {
  try {
    const place = await call("GET", me, { bearer: proof });
    keep(`link-${event}`, null);
    // A browser that sends no cookie back has the pass in this tab.
    await call("GET", me).catch(() => keep(`pass-${event}`, place.pass));
    location.replace($("queue").href);
  } catch (problem) {
    const { status } = /** @type {any} */ (problem);
    const isOver = status === 401,
      isOther = status === 409;
    $("told").textContent = phrase(isOver ? "place.over" : isOther ? "place.other" : "place.again");
    if (!isOver && !isOther) setTimeout(open, 3000);
  }
}

if (proof) {
  // It stays out of the history, and outlives a reload.
  keep(`link-${event}`, proof);
  history.replaceState(history.state, "", location.pathname + location.search);
  open();
} else $("told").textContent = phrase("place.over");
