// @ts-check
// Tickets sold an hour, on the console's page of a sale: a chart of the last days, and the figures as CSV.
import { call, locale, root } from "./api.js";
import { atEnd } from "./console.js";
import { make } from "./make.js";
import { bars } from "./plot.js";

const HOUR_MS = 3_600_000;
const LOAD_EVERY_MS = 60_000;

/** @param {number} at */
const hourOf = (at) =>
  new Date(at).toLocaleString(locale, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
/** @param {number} count @param {string} one @param {string} many */
const counted = (count, one, many) => `${count.toLocaleString(locale)} ${count === 1 ? one : many}`;

/** The card, and the function that keeps it current while its page is shown. @param {string} url of the sale */
export function hourlySales(url) {
  const days = /** @type {HTMLSelectElement} */ (
    make(
      "select",
      { name: "days" },
      ...[1, 7, 31].map((n) =>
        make("option", { value: String(n), selected: n === 7 }, n === 1 ? "24 hours" : `${n} days`),
      ),
    )
  );
  const chart = make("div");
  const sum = make("p", { className: "soft" });
  const download = /** @type {HTMLAnchorElement} */ (make("a", { className: "button", download: "" }, "Download CSV"));
  const load = async () => {
    const hours = Number(days.value) * 24;
    const to = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS;
    const query = `from=${new Date(to - hours * HOUR_MS).toISOString()}&to=${new Date(to).toISOString()}`;
    download.href = `${root}${url}/sales/hourly.csv?${query}`;
    const sales = await call("GET", `${url}/sales/hourly?${query}`).catch(() => null);
    // The last figures stay.
    if (sales) draw(chart, sum, sales);
  };
  days.addEventListener("change", load);
  const card = make(
    "section",
    { className: "card wide" },
    make("h2", {}, "Tickets sold an hour"),
    chart,
    sum,
    make("div", { className: "line span" }, make("label", {}, "Time", days), download),
  );
  const begin = () => {
    load();
    const timer = setInterval(load, LOAD_EVERY_MS);
    atEnd(() => clearInterval(timer));
  };
  return { card, begin };
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
    const orders = counted(hour?.orders_confirmed ?? 0, "order", "orders");
    spans.push({ value, words: `${hourOf(at)}: ${counted(value, "ticket", "tickets")}, ${orders}` });
  }
  const total = (/** @type {string} */ name) =>
    sales.hours.reduce((/** @type {number} */ all, /** @type {any} */ hour) => all + hour[name], 0);
  const words = `${counted(total("tickets_sold"), "ticket", "tickets")} sold, ${total("tickets_voided").toLocaleString(locale)} void again; ${counted(total("holds_expired"), "hold", "holds")} expired.`;
  sum.textContent = words;
  const label = `Tickets sold an hour from ${hourOf(from)} to ${hourOf(to)}: ${words}`;
  chart.replaceChildren(bars(label, [hourOf(from), hourOf(to)], spans));
}
