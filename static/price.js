// @ts-check
// A price in lines: tickets, fees, taxes, and the total that is paid.
import { $ } from "./api.js";
import { make } from "./make.js";
import { money } from "./money.js";

/** @param {string} name @param {any} amount @param {string} [className] */
const row = (name, amount, className = "") =>
  make("li", { className }, make("span", {}, name), make("span", {}, money(amount)));

/** Lines that say the same of several categories, as one. @param {any[]} lines */
function joined(lines) {
  /** @type {Map<string, any>} */ const all = new Map();
  for (const line of lines) {
    const key = line.kind === "ticket" ? line.category : `${line.kind} ${line.included} ${line.name}`;
    const amount = line.amount.amount + (all.get(key)?.amount.amount ?? 0);
    all.set(key, { ...line, amount: { ...line.amount, amount } });
  }
  return [...all.values()];
}

/** Lines as elements of a list; a server of the version before has none. A tax that others contain is not added, and says so. @param {any[]} [lines] */
export function priceLines(lines) {
  return joined(lines ?? []).map(({ kind, name, quantity, amount, included }) => {
    if (included) return row(`including ${name}`, amount, "soft");
    return row(kind === "ticket" && quantity > 1 ? `${quantity} × ${name}` : name, amount);
  });
}

/** The price of one ticket of a category, with its fees and taxes. A server of the version before knows none. @param {any} category */
export const ticketTotal = (category) => category.total ?? category.price;

/** That price as a text. @param {any} category */
export const ticketPrice = (category) => money(ticketTotal(category));

/**
 * Shows what seats cost: those of a hold or an order by its lines, those that are only chosen by their categories. The fees
 * of an order are known once its seats are held.
 * @param {any} held @param {any[]} seats @param {any} layout
 */
export function showPrice(held, seats, layout) {
  $("chosen").replaceChildren(...seats.map((seat) => row(seat.id, seat.price)));
  const lines = (held?.lines ?? []).filter((/** @type {any} */ line) => line.kind !== "ticket");
  $("lines").replaceChildren(...priceLines(lines));
  if (!seats.length) return;
  const amount = seats.reduce((sum, seat) => sum + seat.price.amount, 0);
  const fees = held || !amount ? [] : (layout.order_fees ?? []);
  const plus = fees.map((/** @type {any} */ fee) => ` plus ${fee.name}`).join("");
  $("total").textContent = money(held?.total ?? { ...seats[0].price, amount }) + plus;
}
