// @ts-check
// The orders of all sessions that this browser has, so that a closed tab loses no tickets.
import { $, call, root } from "./api.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

/** @type {Record<string, string>} */
const states = {
  confirmed: "confirmed",
  confirming: "the payment is being confirmed",
  paying: "not paid yet",
  declined: "the payment was declined",
  expired: "the time to pay ran out",
  cancelled: "cancelled",
  refunding: "the money is on its way back",
  refunded: "refunded",
  needs_review: "the organiser looks at the payment",
};
const NOTHING =
  "This browser has no tickets. They are in the browser in which they were bought, and behind the address of the page with the tickets.";

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
  const state = states[order.state] ?? order.state;
  if (!order.event_cancelled) return state;
  return `the show was cancelled: ${order.state === "confirmed" ? "the money goes back" : state}`;
}

/** @param {any} order @param {string | undefined} name */
function card(order, name) {
  const seats = order.seats.length === 1 ? "1 ticket" : `${order.seats.length} tickets`;
  const isOpen = ["paying", "declined"].includes(order.state);
  const href = isOpen ? `${root}/e/${order.event}/seats` : root + (order.link || `/orders/${order.id}`);
  return make(
    "section",
    { className: "card" },
    make("h2", {}, make("a", { href }, name ?? order.event)),
    make("p", {}, `${seats} · ${money(order.total)} · ${stateOf(order)}`),
    make("p", { className: "soft" }, `Order ${order.id}`),
  );
}

async function load() {
  const [orders] = await Promise.all([
    call("GET", "/api/v1/orders").catch((problem) => (problem.status === 401 ? [] : Promise.reject(problem))),
    loadCurrencies(),
  ]);
  const names = await namesOf(orders);
  $("orders").replaceChildren(...orders.map((/** @type {any} */ order) => card(order, names.get(order.event))));
  $("text").textContent = orders.length ? "" : NOTHING;
  if (orders.some((/** @type {any} */ order) => ["confirming", "refunding"].includes(order.state)))
    setTimeout(show, 5000);
}

const show = () =>
  load().catch((problem) => {
    $("text").textContent = `${problem.message}. Trying again.`;
    setTimeout(show, 5000);
  });
show();
