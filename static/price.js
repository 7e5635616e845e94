// @ts-check
// A price in lines: tickets, fees, taxes, and the total that is paid.
import { $, phrase } from "./api.js";
import { make } from "./make.js";
import { money } from "./money.js";

/** @param {string} name @param {any} amount @param {string} [className] */
const row = (name, amount, className = "") =>
  make("li", { className }, make("span", {}, name), make("span", {}, money(amount)));

/** A name with the ticket type beside it, if there is one. @param {string} name @param {any} [type] */
const typed = (name, type) => (type ? `${name}, ${type.name}` : name);

/** Lines that say the same of several categories, as one. @param {any[]} lines */
function joined(lines) {
  /** @type {Map<string, any>} */ const all = new Map();
  for (const line of lines) {
    const key =
      line.kind === "ticket"
        ? `${line.category} ${line.ticket_type?.id}`
        : `${line.kind} ${line.included} ${line.name}`;
    const amount = line.amount.amount + (all.get(key)?.amount.amount ?? 0);
    all.set(key, { ...line, amount: { ...line.amount, amount } });
  }
  return [...all.values()];
}

/** Lines as elements of a list; a server of the version before has none. A tax that others contain is not added, and says so. @param {any[]} [lines] */
export function priceLines(lines) {
  return joined(lines ?? []).map(({ kind, name, quantity, amount, included, ticket_type }) => {
    if (included) return row(phrase("price.including", { name }), amount, "soft");
    if (kind !== "ticket") return row(name, amount);
    const ticket = typed(name, ticket_type);
    return row(quantity > 1 ? `${quantity} × ${ticket}` : ticket, amount);
  });
}

/** Name of the category of an order's seat, with its ticket type. A server of the version before has no lines. @param {any} order @param {any} seat */
export function categoryName(order, seat) {
  const isOwn = (/** @type {any} */ line) => line.kind === "ticket" && line.category === seat.category;
  return typed(order.lines?.find(isOwn)?.name ?? seat.category, seat.ticket_type);
}

/** The price of one ticket of a category, with its fees and taxes. A server of the version before knows none. @param {any} category */
export const ticketTotal = (category) => category.total ?? category.price;

/** That price as a text. @param {any} category */
export const ticketPrice = (category) => money(ticketTotal(category));

/** @param {any} seat @param {Node | null} picker */
function basketRow(seat, picker) {
  const label = seat.label ?? seat.id;
  if (!picker) return row(typed(label, seat.ticket_type), seat.price);
  const item = row(label, seat.price, "typed");
  item.append(picker);
  return item;
}

/**
 * Shows what seats cost: those of a hold or an order by its lines, those that are only chosen by their categories. The fees
 * of an order are known once its seats are held.
 * @param {any} held @param {any[]} seats @param {any} layout
 * @param {((seat: any) => Node | null) | null} picker makes the choice of a seat's ticket type, where there is one
 */
export function showPrice(held, seats, layout, picker) {
  const focused = /** @type {HTMLElement} */ (document.activeElement)?.dataset.ticket;
  $("chosen").replaceChildren(...seats.map((seat) => basketRow(seat, picker?.(seat) ?? null)));
  if (focused)
    $("chosen")
      .querySelector(`[data-ticket="${CSS.escape(focused)}"]`)
      ?.focus();
  const lines = (held?.lines ?? []).filter((/** @type {any} */ line) => line.kind !== "ticket");
  $("lines").replaceChildren(...priceLines(lines));
  if (!seats.length) return;
  const amount = seats.reduce((sum, seat) => sum + seat.price.amount, 0);
  const fees = held || !amount ? [] : (layout.order_fees ?? []);
  const plus = fees.map((/** @type {any} */ fee) => ` ${phrase("price.plus", { name: fee.name })}`).join("");
  $("total").textContent = money(held?.total ?? { ...seats[0].price, amount }) + plus;
}
