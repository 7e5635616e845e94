// @ts-check
// The steps of the checkout: which one is shown, its one clock, and the bar at the bottom of phones.
import { $, clock, locale, phrase } from "./api.js";
import { money } from "./money.js";

/** Headings of the steps that have seats held, by their keys. @type {Record<string, string>} */
const headings = { details: "seats.your_details", pay: "seats.payment" };

/**
 * Shows the step that a fan is at, and hides the others.
 * @param {any} hold @param {any} order @param {number} chosen number of seats chosen, held or ordered
 */
export function showStep(hold, order, chosen) {
  const step = order ? "pay" : hold ? "details" : "choose";
  for (const item of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#steps li")))
    if (item.dataset.step === step) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  for (const id of ["hall", "best"]) $(id).hidden = step !== "choose";
  $("checkout").hidden = step === "choose";
  $("step-heading").textContent = step === "choose" ? "" : phrase(headings[step]);
  if (order)
    for (const button of document.querySelectorAll(".pay"))
      button.textContent = phrase("seats.pay", { amount: money(order.total) });
  $("bottom").hidden = step !== "choose" || !chosen;
  $("bottom-text").textContent = `${phrase("seats.count", { count: chosen })} · ${$("total").textContent}`;
}

/** Says until when seats are kept at most whose time has run out while nothing can be paid. @param {string | null} until */
export function showKept(until) {
  const at = new Date(until ?? 0).toLocaleTimeString(locale, { timeStyle: "short" });
  const text = phrase("seats.kept", { time: at });
  // Readers hear it once.
  if (until && $("kept").textContent !== text) $("kept").textContent = text;
  $("kept").hidden = !until;
}

/** Shows that the time to shop is over, with a way back. @param {boolean} is */
export function showOver(is) {
  const isNew = is && $("over").hidden;
  $("over").hidden = !is;
  $("side").hidden = is;
  // Readers hear what has focus.
  if (isNew) $("over-heading").focus();
  if (is) for (const id of ["hall", "checkout", "bottom", "steps"]) $(id).hidden = true;
}

/** The minute before the end is announced once. */
let isAnnounced = false;

/**
 * Shows the time that is left: of the seats that are held, or else of the session.
 * @param {string} key of the text with the time; none for no clock @param {number} seconds @param {(text: string) => void} say
 */
export function showClock(key, seconds, say) {
  const text = phrase(key, { time: clock(seconds) });
  $("clock").textContent = text;
  const isUrgent = seconds < 60;
  $("clock").classList.toggle("urgent", isUrgent);
  if (isUrgent && !isAnnounced && seconds > 0) say(phrase("seats.last_minute"));
  isAnnounced = isUrgent;
}
