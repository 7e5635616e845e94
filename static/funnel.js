// @ts-check
// The funnel from the line to a ticket, on the console's page of a sale: a table with the shares, and the figures as CSV.
import { count, locale, phrase } from "./api.js";
import { table } from "./console.js";
import { hoursCard } from "./hours-card.js";
import { make } from "./make.js";

/** @param {number} part @param {number} whole */
const share = (part, whole) =>
  whole > 0 ? (part / whole).toLocaleString(locale, { style: "percent", maximumFractionDigits: 1 }) : "–";

/** The card, and the function that keeps it current. @param {string} url of the sale */
export function funnel(url) {
  const region = { className: "scroll", tabIndex: 0, role: "region", "aria-label": phrase("console.funnel") };
  const steps = make("div", region);
  const words = make("p");
  const draw = (/** @type {any} */ { total, bounds_minutes }) => {
    steps.replaceChildren(stepsTable(total));
    words.textContent = waited(total.waits, bounds_minutes.at(-1));
  };
  const limits = make("p", { className: "soft" }, phrase("console.funnel.limits"));
  return hoursCard(phrase("console.funnel"), `${url}/sales/funnel`, draw, steps, words, limits);
}

/** @param {any} total */
function stepsTable(total) {
  const steps = ["admitted", "missed", "came", "finished", "ran_out", "left", "ejected", "buyers"];
  const headings = ["step", "number", "share"].map((name) => phrase(`console.funnel.${name}`));
  return table(headings, steps, (step) => [
    make("th", { scope: "row" }, phrase(`console.funnel.step.${step}`)),
    make("td", { className: "num" }, count(total[step])),
    make("td", { className: "num" }, share(total[step], total.admitted)),
  ]);
}

/** The words for the waits. @param {any} waits @param {number} last the last bound in minutes */
function waited(waits, last) {
  if (!waits.count) return phrase("console.funnel.no_waits");
  const minutes = (/** @type {number} */ n) => phrase("console.minutes", { count: n });
  const within = (/** @type {number | null} */ bound) =>
    phrase(bound === null ? "console.funnel.more" : "console.funnel.most", { span: minutes(bound ?? last) });
  const mean = waits.sum_seconds / waits.count;
  const average = mean < 60 ? phrase("console.funnel.short") : minutes(Math.round(mean / 6) / 10);
  return phrase("console.funnel.waited", {
    half: within(waits.median_minutes),
    most: within(waits.p90_minutes),
    average,
  });
}
