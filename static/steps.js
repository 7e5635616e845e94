// @ts-check
// The steps of the checkout: which one is shown, its one clock, and the bar at the bottom of phones.
import { $, clock, locale } from "./api.js";
import { money } from "./money.js";

/** Headings of the steps that have seats held. @type {Record<string, string>} */
const headings = { details: "Your details", pay: "Payment" };

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
  $("step-heading").textContent = headings[step] ?? "";
  if (order) for (const button of document.querySelectorAll(".pay")) button.textContent = `Pay ${money(order.total)}`;
  $("bottom").hidden = step !== "choose" || !chosen;
  $("bottom-text").textContent = `${chosen === 1 ? "1 seat" : `${chosen} seats`} · ${$("total").textContent}`;
}

/** Says until when seats are kept at most whose time has run out while nothing can be paid. @param {string | null} until */
export function showKept(until) {
  const at = new Date(until ?? 0).toLocaleTimeString(locale, { timeStyle: "short" });
  const text = `The payment service is away at the moment. Your seats are kept while it is, until ${at} at most.`;
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
 * @param {string} name the time, with `{}` in the place of its minutes @param {number} seconds @param {(text: string) => void} say
 */
export function showClock(name, seconds, say) {
  const text = name.replace("{}", clock(seconds));
  $("clock").textContent = text;
  const isUrgent = seconds < 60;
  $("clock").classList.toggle("urgent", isUrgent);
  if (isUrgent && !isAnnounced && seconds > 0) say("Less than a minute left.");
  isAnnounced = isUrgent;
}
