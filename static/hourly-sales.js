// @ts-check
// Tickets sold an hour, on the console's page of a sale: a chart of the last days, and the figures as CSV.
import { locale, phrase } from "./api.js";
import { HOUR_MS, hoursCard } from "./hours-card.js";
import { make } from "./make.js";
import { bars } from "./plot.js";

/** @param {number} at */
const hourOf = (at) =>
  new Date(at).toLocaleString(locale, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });

/** The card, and the function that keeps it current. @param {string} url of the sale */
export function hourlySales(url) {
  const chart = make("div");
  const sum = make("p", { className: "soft" });
  const show = (/** @type {any} */ sales) => draw(chart, sum, sales);
  return hoursCard(phrase("console.hourly"), `${url}/sales/hourly`, show, chart, sum);
}

/** @param {HTMLElement} chart @param {HTMLElement} sum @param {any} sales */
function draw(chart, sum, sales) {
  const from = Date.parse(sales.from),
    to = Date.parse(sales.to);
  const known = new Map(sales.hours.map((/** @type {any} */ hour) => [Date.parse(hour.hour), hour]));
  const spans = [];
  for (let at = from; at < to; at += HOUR_MS) {
    const hour = known.get(at);
    const value = hour?.tickets_sold ?? 0;
    const orders = phrase("console.orders.count", { count: hour?.orders_confirmed ?? 0 });
    const tickets = phrase("console.tickets.count", { count: value });
    spans.push({ value, words: phrase("console.hourly.hour", { hour: hourOf(at), tickets, orders }) });
  }
  const total = (/** @type {string} */ name) =>
    sales.hours.reduce((/** @type {number} */ all, /** @type {any} */ hour) => all + hour[name], 0);
  const words = phrase("console.hourly.sum", {
    tickets: phrase("console.tickets.count", { count: total("tickets_sold") }),
    voided: total("tickets_voided"),
    holds: phrase("console.holds.count", { count: total("holds_expired") }),
  });
  sum.textContent = words;
  const label = phrase("console.hourly.label", { from: hourOf(from), to: hourOf(to), words });
  chart.replaceChildren(bars(label, [hourOf(from), hourOf(to)], spans));
}
