// @ts-check
// The end of the time to shop: its warning, and more time once.
import { $, clock, phrase } from "./api.js";

/** Seconds before the end at which a fan is warned. */
const WARNED_FROM = 60;
/** The end that readers were told of: once, and again after more time was given. */
let told = "";

/**
 * Warns of the end of a session in its last minute.
 * @param {any} session @param {number} seconds until its end @param {any} hold @param {(text: string) => void} say
 */
export function showEnding(session, seconds, hold, say) {
  const isEnding = !session.over && seconds > 0 && seconds <= WARNED_FROM;
  $("ending").hidden = !isEnding;
  if (!isEnding) return;
  const name = phrase(hold ? "seats.ending.choosing" : "seats.ending.shopping");
  $("ending-text").textContent = phrase("seats.ending.in", { name, time: clock(seconds) });
  const more = session.extension_seconds;
  $("more-time").hidden = !more;
  if (told === session.expires_at) return;
  told = session.expires_at;
  say(phrase(more ? "seats.ending.soon_with_more" : "seats.ending.soon", { name }));
}

/**
 * Asks for more time. Whether the session has it is told by the session itself, also where the answer was lost.
 * @param {typeof import("./api.js").call} call @param {string} base path of the event
 */
export async function takeMoreTime(call, base) {
  $("more-time").disabled = true;
  try {
    return await call("POST", `${base}/sessions/extend`);
  } catch (problem) {
    if (/** @type {any} */ (problem).kind !== "not-extendable") throw problem;
    return await call("GET", `${base}/sessions`);
  } finally {
    $("more-time").disabled = false;
  }
}
