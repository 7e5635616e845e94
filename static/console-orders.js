// @ts-check
// The console's list of a sale's orders: searched, filtered, page by page, and exported.
import { call, locale, root } from "./api.js";
import { api, button, may, page, say, table } from "./console.js";
import { failedMails } from "./console-mails.js";
import { orderStates } from "./console-order.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

const PAGE_SIZE = 50;
const exported = [
  ["orders", "Orders"],
  ["tickets", "Tickets"],
  ["door-list", "Door list"],
  ["payments", "Payments"],
  ["blocks", "Blocked seats"],
];

/** @param {any[]} orders @param {string} event */
export function orderTable(orders, event) {
  return table(["Order", "When", "Who", "Seats", "Total", "Given back", "State"], orders, (order) => [
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
    make("td", {}, orderStates[order.state] ?? order.state),
  ]);
}

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function ordersPage(event) {
  const url = `${api}/events/${event}`;
  const orders = call("GET", `${url}/orders?limit=${PAGE_SIZE}`);
  const [first, mails] = await Promise.all([orders, failedMails(event), loadCurrencies()]);
  return () => show(url, event, first, mails);
}

/** @param {string} url @param {string} event @param {any} first @param {Node[]} mails */
function show(url, event, first, mails) {
  const rows = make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Orders" });
  const text = /** @type {HTMLInputElement} */ (make("input", { name: "q", type: "search", maxLength: 200 }));
  const states = Object.entries(orderStates).map(([value, name]) => make("option", { value }, name));
  const state = /** @type {HTMLSelectElement} */ (
    make("select", { name: "state" }, make("option", { value: "" }, "any"), ...states)
  );
  /** @type {any[]} */ let orders = [];
  /** @type {string | null} */ let next = null;
  /** Number of the newest search; answers to older ones are dropped. */ let asked = 0;
  const more = button({}, "More", () => load(false));
  const draw = () => {
    const none = next ? "None found yet." : "None.";
    rows.replaceChildren(orders.length ? orderTable(orders, event) : make("p", { className: "soft" }, none));
    more.hidden = !next;
    more.firstElementChild?.replaceChildren(orders.length ? "More" : "Look at older orders");
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
    say(`${orders.length} orders${next ? ", and more" : ""}`);
  };
  const outcome = make("p", { className: "bad", role: "alert", hidden: true });
  const search = make(
    "form",
    { className: "card line", role: "search" },
    make("label", {}, may("operator") ? "Name, address, order or seat" : "Order or seat", text),
    make("label", {}, "State", state),
    make("button", { className: "primary" }, "Search"),
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
  const exports = exported.map(([name, label]) => {
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
      make("h1", {}, "Orders"),
      make("a", { href: `#/event/${event}` }, "Back to the sale"),
    ),
    make(
      "div",
      { className: "stack" },
      search,
      make("section", { className: "card" }, rows, more),
      ...mails,
      ...(may("operator")
        ? [make("section", { className: "card exports" }, make("h2", {}, "Export"), ...exports)]
        : []),
    ),
  );
  take(first, true);
}
