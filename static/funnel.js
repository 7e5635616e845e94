// @ts-check
// The funnel from the line to a ticket, on the console's page of a sale: a table with the shares, and the figures as CSV.
import { locale } from "./api.js";
import { table } from "./console.js";
import { hoursCard } from "./hours-card.js";
import { make } from "./make.js";

/** @param {number} part @param {number} whole */
const share = (part, whole) =>
  whole > 0 ? (part / whole).toLocaleString(locale, { style: "percent", maximumFractionDigits: 1 }) : "–";

/** The card, and the function that keeps it current. @param {string} url of the sale */
export function funnel(url) {
  const steps = make("div");
  const words = make("p");
  const draw = (/** @type {any} */ { total, bounds_minutes }) => {
    steps.replaceChildren(stepsTable(total));
    words.textContent = waited(total.waits, bounds_minutes.at(-1));
  };
  const limits = make(
    "p",
    { className: "soft" },
    "Admissions are counted, not people: a fan who joins again and is admitted again counts again. Each figure counts in " +
      "the hour in which it happened. Fans who gave up while they waited leave no trace, and are not in it. Those who " +
      "are on their way or inside are among the admitted alone. Sales at the desk are left out.",
  );
  return hoursCard("From the line to a ticket", `${url}/sales/funnel`, draw, steps, words, limits);
}

/** @param {any} total */
function stepsTable(total) {
  /** @type {[string, number][]} */
  const steps = [
    ["Admitted", total.admitted],
    ["Missed their turn", total.missed],
    ["Came, and their visit is over", total.came],
    ["Finished: bought, or ended the visit", total.finished],
    ["Ran out of time", total.ran_out],
    ["Left", total.left],
    ["Ejected", total.ejected],
    ["Buyers with a confirmed order", total.buyers],
  ];
  return table(["Step", "Number", "Of those admitted"], steps, ([step, count]) => [
    make("th", { scope: "row" }, step),
    make("td", { className: "num" }, count.toLocaleString(locale)),
    make("td", { className: "num" }, share(count, total.admitted)),
  ]);
}

/** The words for the waits. @param {any} waits @param {number} last the last bound in minutes */
function waited(waits, last) {
  if (!waits.count) return "No waits are known.";
  const minutes = (/** @type {number} */ n) => `${n.toLocaleString(locale)} ${n === 1 ? "minute" : "minutes"}`;
  const within = (/** @type {number | null} */ bound) =>
    bound === null ? `more than ${minutes(last)}` : `at most ${minutes(bound)}`;
  const mean = waits.sum_seconds / waits.count;
  const average = mean < 60 ? "less than a minute" : minutes(Math.round(mean / 6) / 10);
  return `Half waited ${within(waits.median_minutes)}, nine of ten ${within(waits.p90_minutes)}; the average is ${average}.`;
}
