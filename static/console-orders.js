// @ts-check
// The console's list of a sale's orders: searched, filtered, page by page, and exported.
import { call, locale, phrase, root } from "./api.js";
import { api, button, may, page, say, table } from "./console.js";
import { saleMails } from "./console-mails.js";
import { orderState, orderStates } from "./console-order.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

const PAGE_SIZE = 50;
const exported = ["orders", "tickets", "door-list", "payments", "blocks"];

/** @param {any[]} orders @param {string} event */
export function orderTable(orders, event) {
  const columns = ["order", "when", "who", "seats", "total", "refunded", "state"];
  const headings = columns.map((name) => phrase(`console.orders.column.${name}`));
  return table(headings, orders, (order) => [
    make("td", {}, make("a", { href: `#/event/${event}/order/${order.id}` }, order.id.slice(0, 12))),
    make(
      "td",
      { className: "word" },
      new Date(order.created_at).toLocaleString(locale, { dateStyle: "short", timeStyle: "short" }),
    ),
    make("td", {}, order.buyer ? `${order.buyer.name} ${order.buyer.email}` : "–"),
    make("td", {}, order.seats.map((/** @type {any} */ s) => s.label ?? s.id).join("; ")),
    make("td", { className: "num" }, money(order.total)),
    make("td", { className: "num" }, order.refunded ? money(order.refunded) : "–"),
    make("td", {}, orderState(order.state)),
  ]);
}

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function ordersPage(event) {
  const url = `${api}/events/${event}`;
  const orders = call("GET", `${url}/orders?limit=${PAGE_SIZE}`);
  const [first, mails] = await Promise.all([orders, saleMails(event), loadCurrencies()]);
  return () => show(url, event, first, mails);
}

/** @param {string} url @param {string} event @param {any} first @param {Node[]} mails */
function show(url, event, first, mails) {
  const rows = make("div", {
    className: "scroll",
    tabIndex: 0,
    role: "region",
    "aria-label": phrase("console.orders"),
  });
  const text = /** @type {HTMLInputElement} */ (make("input", { name: "q", type: "search", maxLength: 200 }));
  const states = orderStates.map((value) => make("option", { value }, orderState(value)));
  const state = /** @type {HTMLSelectElement} */ (
    make("select", { name: "state" }, make("option", { value: "" }, phrase("console.orders.any")), ...states)
  );
  /** @type {any[]} */ let orders = [];
  /** @type {string | null} */ let next = null;
  /** Number of the newest search; answers to older ones are dropped. */ let asked = 0;
  const more = button({}, phrase("console.orders.more"), () => load(false));
  const draw = () => {
    const none = phrase(next ? "console.orders.none_found" : "console.none");
    rows.replaceChildren(orders.length ? orderTable(orders, event) : make("p", { className: "soft" }, none));
    more.hidden = !next;
    more.firstElementChild?.replaceChildren(phrase(orders.length ? "console.orders.more" : "console.orders.older"));
  };
  const take = (/** @type {any} */ list, /** @type {boolean} */ isNew) => {
    orders = isNew ? list.orders : [...orders, ...list.orders];
    next = list.next;
    draw();
  };
  const load = async (/** @type {boolean} */ isNew) => {
    const own = ++asked;
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    if (text.value.trim()) query.set("q", text.value.trim());
    if (state.value) query.set("state", state.value);
    if (!isNew && next) query.set("after", next);
    const list = await call("GET", `${url}/orders?${query}`);
    if (own !== asked) return;
    take(list, isNew);
    say(phrase(next ? "console.orders.and_more" : "console.orders.count", { count: orders.length }));
  };
  const outcome = make("p", { className: "bad", role: "alert", hidden: true });
  const search = make(
    "form",
    { className: "card line", role: "search" },
    make("label", {}, phrase(may("operator") ? "console.orders.search_all" : "console.orders.search_some"), text),
    make("label", {}, phrase("console.orders.column.state"), state),
    make("button", { className: "primary" }, phrase("console.orders.search")),
    outcome,
  );
  search.addEventListener("submit", (submit) => {
    submit.preventDefault();
    outcome.hidden = true;
    load(true).catch((problem) => {
      if (problem.status === 401) return void dispatchEvent(new Event("signed-out"));
      outcome.textContent = problem.message;
      outcome.hidden = false;
    });
  });
  const exports = exported.map((name) => {
    const label = phrase(`console.export.${name}`);
    const links = ["csv", "xlsx"].map((format) => {
      const href = `${root}${url}/exports/${name}.${format}`;
      const kind = format.toUpperCase();
      return make("a", { className: "button", href, download: "", ariaLabel: `${label}, ${kind}` }, kind);
    });
    return make("p", { className: "line" }, make("span", {}, label), ...links);
  });
  page(
    make(
      "div",
      { className: "heading above" },
      make("h1", {}, phrase("console.orders")),
      make("a", { href: `#/event/${event}` }, phrase("console.back")),
    ),
    make(
      "div",
      { className: "stack" },
      search,
      make("section", { className: "card" }, rows, more),
      ...mails,
      ...(may("operator")
        ? [make("section", { className: "card exports" }, make("h2", {}, phrase("console.export")), ...exports)]
        : []),
    ),
  );
  take(first, true);
}
