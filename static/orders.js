// @ts-check
// The orders of all sessions that this browser has, so that a closed tab loses no tickets.
import { $, call, phrase, root } from "./api.js";
import { inLanguage } from "./language.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

/** Names of the events of orders, by their ids. @param {any[]} orders */
async function namesOf(orders) {
  /** @type {Map<string, string>} */ const names = new Map();
  const ask = async (/** @type {string} */ id) => {
    const about = await call("GET", `/api/v1/events/${id}`).catch(() => ({ name: id }));
    names.set(id, about.name);
  };
  await Promise.all([...new Set(orders.map((order) => order.event))].map(ask));
  return names;
}

/** @param {any} order */
function stateOf(order) {
  const state = phrase(`orders.state.${order.state}`) || order.state;
  if (!order.event_cancelled) return state;
  const outcome = order.state === "confirmed" ? phrase("orders.money_goes_back") : state;
  return phrase("orders.show_cancelled", { outcome });
}

/** @param {any} order @param {string | undefined} name */
function card(order, name) {
  const seats = phrase("orders.tickets", { count: order.seats.length });
  const isOpen = ["paying", "declined"].includes(order.state);
  const own = order.link || `/orders/${order.id}`;
  const href = inLanguage(root + (isOpen ? `/e/${order.event}/seats` : own));
  return make(
    "section",
    { className: "card" },
    make("h2", {}, make("a", { href }, name ?? order.event)),
    make("p", {}, `${seats} · ${money(order.total)} · ${stateOf(order)}`),
    make("p", { className: "soft" }, phrase("orders.order", { order: order.id })),
  );
}

async function load() {
  const [orders] = await Promise.all([
    call("GET", "/api/v1/orders").catch((problem) => (problem.status === 401 ? [] : Promise.reject(problem))),
    loadCurrencies(),
  ]);
  const names = await namesOf(orders);
  $("orders").replaceChildren(...orders.map((/** @type {any} */ order) => card(order, names.get(order.event))));
  $("text").textContent = orders.length ? "" : phrase("orders.none");
  if (orders.some((/** @type {any} */ order) => ["confirming", "refunding"].includes(order.state)))
    setTimeout(show, 5000);
}

const show = () =>
  load().catch(() => {
    $("text").textContent = phrase("orders.again");
    setTimeout(show, 5000);
  });
show();
