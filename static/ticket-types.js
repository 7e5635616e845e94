// @ts-check
// Ticket types, such as those of children: one for each seat, chosen in the basket and priced by the server.
import { $, keep, kept, phrase } from "./api.js";
import { make } from "./make.js";
import { money } from "./money.js";
import { ticketTotal } from "./price.js";

const STANDARD = "standard";
/** Refusals after which what is sold has to be looked up again. */
const OUTDATED = ["price-changed", "unknown-ticket-type", "ticket-type-of-another-category"];

/**
 * Puts the basket where its types are chosen: before the fan's details, or beside them if there is nothing to choose.
 * @param {boolean} hasChoice
 */
export function placeBasket(hasChoice) {
  const next = $(hasChoice ? "buyer" : "leave");
  if ($("basket").nextElementSibling !== next) next.before($("basket"));
}

export class TicketTypes {
  /**
   * @param {string} event
   * @param {{ call: typeof import("./api.js").call, onChange: () => void, fail: (problem: any) => void }} hooks
   */
  constructor(event, hooks) {
    this.event = event;
    this.hooks = hooks;
    /** @type {any} */ this.layout = null;
    /** @type {Record<string, string>} types by seat, as chosen */
    this.chosen = JSON.parse(kept(`types-${event}`) || "{}");
    /** @type {any} the hold that was priced last */
    this.hold = null;
    /** Number of times that a price was asked for: an answer to an earlier question does not count any more. */
    this.asked = 0;
    /** @type {any} the hold with these types, as the server prices it */
    this.priced = null;
  }

  /** @param {any} seat @returns {any[]} */
  #typesOf(seat) {
    return this.layout.categories.find((/** @type {any} */ one) => one.id === seat.category)?.ticket_types ?? [];
  }

  /** A hold as the server priced it with the types chosen. @param {any} hold */
  of(hold) {
    return hold && this.priced?.id === hold.id ? this.priced : hold;
  }

  /** A seat that is not held yet, with the price of its type. @param {string} id @param {string} label @param {any} category */
  seat(id, label, category) {
    const own = category.ticket_types?.find((/** @type {any} */ type) => type.id === this.chosen[id]);
    return { id, label, category: category.id, price: own?.total ?? ticketTotal(category) };
  }

  /** The choice for a seat; nothing if there is none. @param {any} seat */
  picker(seat) {
    const types = this.#typesOf(seat);
    if (!types.length) return null;
    const now = this.chosen[seat.id] ?? STANDARD;
    const options = types.map((type) => {
      const note = type.note ? ` (${type.note})` : "";
      const price = this.hold ? type.price : type.total;
      const text = `${type.name}${note} · ${money(type.id === now ? seat.price : price)}`;
      return make("option", { value: type.id, selected: type.id === now }, text);
    });
    const set = { "aria-label": phrase("price.ticket_for", { place: seat.label ?? seat.id }), "data-ticket": seat.id };
    const select = make("select", set, ...options);
    select.addEventListener("change", () => {
      const before = { ...this.chosen };
      this.chosen[seat.id] = /** @type {HTMLSelectElement} */ (select).value;
      this.#changed(before);
    });
    return select;
  }

  /** @param {Record<string, string>} before */
  async #changed(before) {
    if (this.hold && !(await this.price(this.hold))) this.chosen = before;
    this.#keep();
    this.hooks.onChange();
  }

  #keep() {
    keep(`types-${this.event}`, Object.keys(this.chosen).length ? JSON.stringify(this.chosen) : null);
  }

  /** Types of the seats of a hold, without the standard one. @param {any} hold */
  #wanted(hold) {
    const own = hold.seats.filter((/** @type {any} */ { id }) => (this.chosen[id] ?? STANDARD) !== STANDARD);
    return Object.fromEntries(own.map((/** @type {any} */ { id }) => [id, this.chosen[id]]));
  }

  /**
   * Has a hold priced with the types chosen. Answers whether they may be sold so; those of a new hold are given up if not.
   * @param {any} hold
   */
  async price(hold) {
    const isNew = this.hold?.id !== hold.id;
    this.hold = hold;
    const asked = ++this.asked;
    const ticket_types = this.#wanted(hold);
    if (!Object.keys(ticket_types).length) {
      this.priced = null;
      return true;
    }
    try {
      const path = `/api/v1/holds/${hold.id}/price`;
      const priced = await this.hooks.call("POST", path, { body: { ticket_types } });
      if (asked === this.asked) this.priced = priced;
      return true;
    } catch (problem) {
      if (asked !== this.asked) return true;
      if (isNew) this.forget(hold);
      this.hooks.fail(problem);
      return false;
    }
  }

  /** Gives up the types of a hold, or of all seats. @param {any} [hold] */
  forget(hold) {
    this.asked += 1;
    this.chosen = {};
    this.priced = null;
    this.hold = hold;
    this.#keep();
  }

  /** What an order of a hold says of its types, and what the fan was shown. @param {any} hold */
  order(hold) {
    const has = hold.seats.some((/** @type {any} */ seat) => this.#typesOf(seat).length);
    return has ? { ticket_types: this.#wanted(hold), total: this.of(hold).total } : {};
  }

  /** Looks up what is sold now, if an order was refused for that. @param {any} hold @param {string} kind */
  async refused(hold, kind) {
    if (!OUTDATED.includes(kind)) return;
    const path = `/api/v1/events/${this.event}/seating`;
    this.layout = await this.hooks.call("GET", path, { cache: "no-cache" }).catch(() => this.layout);
    const ids = (/** @type {any} */ seat) => this.#typesOf(seat).map((type) => type.id);
    for (const seat of hold.seats) if (!ids(seat).includes(this.chosen[seat.id])) delete this.chosen[seat.id];
    this.#keep();
    await this.price(hold);
  }
}
