// @ts-check
// The part of the console that tells buyers by mail of a changed date or place, once an organiser asks for it.
import { call, locale, phrase } from "./api.js";
import { api, button, may } from "./console.js";
import { make } from "./make.js";

const AGAIN_MS = 2000;

/** Date and place, as buyers are told of them. @param {any} details */
function dateAndPlace(details) {
  const { starts_at, doors_at, time_zone, venue } = details ?? {};
  return { starts_at, doors_at, time_zone, venue };
}

/** Whether two are the same, though written otherwise. @param {any} one @param {any} other */
function isSame(one, other) {
  const text = (/** @type {any} */ { starts_at, doors_at, time_zone, venue }) =>
    JSON.stringify([Date.parse(starts_at), Date.parse(doors_at), time_zone, venue?.name, venue?.address]);
  return text(one) === text(other);
}

/**
 * A place for the offer to tell buyers, and the function that makes it after the event was saved.
 * @param {string} event @param {any} details as buyers know them
 * @returns {[HTMLElement, (details: any) => Promise<void>]}
 */
export function changeOffer(event, details) {
  const url = `${api}/events/${event}/mails/changes`;
  const place = make("div", { className: "stack", role: "status" });
  const was = dateAndPlace(details);
  const follow = async () => {
    const { latest } = await call("GET", url);
    // Another page may be shown by now.
    if (!place.isConnected || !latest) return;
    const { sent, waiting, failed } = latest;
    const time = new Date(latest.told_at).toLocaleString(locale);
    const key = failed ? "console.changes.sent_failed" : "console.changes.sent";
    const words = phrase(latest.done ? "console.changes.done" : "console.changes.go_on");
    place.replaceChildren(make("p", {}, `${phrase(key, { time, sent, waiting, failed })} ${words}`));
    if (!latest.done) setTimeout(() => follow().catch(() => {}), AGAIN_MS);
  };
  const offer = async (/** @type {any} */ saved) => {
    const { is_set_up } = await call("GET", url);
    if (!is_set_up || !may("operator") || isSame(was, dateAndPlace(saved))) return place.replaceChildren();
    place.replaceChildren(
      make("p", {}, phrase("console.changes.ask")),
      button({ className: "primary" }, phrase("console.changes.tell"), async () => {
        if (!confirm(phrase("console.changes.sure"))) return;
        await call("POST", url, { body: { was } });
        Object.assign(was, dateAndPlace(saved));
        await follow();
      }),
    );
  };
  return [place, offer];
}
