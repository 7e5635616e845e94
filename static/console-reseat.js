// @ts-check
// The form on the page of an order that moves a ticket to another seat, with the difference in price shown before.
import { call, newKey, phrase } from "./api.js";
import { api, button, field, form } from "./console.js";
import { make } from "./make.js";
import { money } from "./money.js";
import { priceLines } from "./price.js";
import { placeOf } from "./seat-list.js";

/** Largest number of seats that are offered at one time, of those that fit what was typed. */
const OFFERED_MAX = 50;

/** @param {any} amount */
const positive = (amount) => money({ ...amount, amount: Math.abs(amount.amount) });

/** Seats of an event by what people read, with their states. @param {string} event */
async function loadSeats(event) {
  const base = `/api/v1/events/${event}`;
  const [layout, { seats }] = await Promise.all([
    call("GET", `${base}/seating`, { cache: "no-cache" }),
    call("GET", `${base}/seats`, { cache: "no-cache" }),
  ]);
  const states = new Map(seats.map((/** @type {any} */ seat) => [seat.id, seat.state]));
  /** @type {Map<string, string>} */ const ids = new Map();
  const add = (/** @type {string} */ id, /** @type {string} */ label) => ids.set(ids.has(label) ? id : label, id);
  for (const block of layout.blocks)
    for (const row of block.rows ?? []) for (const seat of row.seats) add(seat.id, placeOf({ ...seat, block, row }));
  return { ids, states };
}

/**
 * @param {string} event @param {string} url of the order
 * @param {(reseated: any) => Promise<void>} moved called once a ticket was moved
 * @returns {{ element: HTMLElement, update: (details: any) => void }}
 */
export function reseatForm(event, url, moved) {
  /** @type {{ ids: Map<string, string>, states: Map<string, string> }} */ let known = {
    ids: new Map(),
    states: new Map(),
  };
  const ticket = /** @type {HTMLSelectElement} */ (make("select", { name: "from" }));
  const choices = make("datalist", { id: "free-seats" });
  const shown = make("div", { className: "stack", role: "status" });
  const ask = form(
    { className: "line" },
    async () => {
      await preview();
    },
    make("label", {}, phrase("console.reseat.ticket"), ticket),
    field(phrase("console.reseat.to"), {
      name: "to",
      required: true,
      autocomplete: "off",
      placeholder: phrase("console.reseat.type"),
    }),
    make(
      "label",
      { className: "check" },
      make("input", { type: "checkbox", name: "blocked" }),
      ` ${phrase("console.reseat.blocked")}`,
    ),
    choices,
    make("button", {}, phrase("console.reseat.show")),
  );
  const { to, blocked } = /** @type {any} */ (ask).elements;
  // A browser offers no more than a list is short enough for.
  to.setAttribute("list", choices.id);
  const offer = () => {
    const typed = to.value.toLowerCase();
    const wanted = blocked.checked ? ["available", "blocked"] : ["available"];
    const isOffered = (/** @type {string} */ id) => wanted.includes(known.states.get(id) ?? "blocked");
    const fitting = [...known.ids].filter(([label, id]) => label.toLowerCase().includes(typed) && isOffered(id));
    choices.replaceChildren(...fitting.slice(0, OFFERED_MAX).map(([label]) => make("option", { value: label })));
  };
  const forget = () => shown.replaceChildren();
  to.addEventListener("input", () => (offer(), forget()));
  for (const one of [ticket, blocked]) one.addEventListener("change", () => (offer(), forget()));

  const preview = async () => {
    const seats = [{ from: ticket.value, to: known.ids.get(to.value) ?? to.value.trim() }];
    const body = { seats, ...(blocked.checked ? { blocked: true } : {}) };
    const reseated = await call("POST", `${url}/reseat?preview=true`, { body });
    shown.replaceChildren(make("section", { className: "card" }, ...difference(reseated, body)));
  };

  /** What a move comes to, with the buttons that do it. @param {any} reseated @param {any} body */
  const difference = (reseated, body) => {
    const [one] = reseated.tickets;
    const { difference, refund } = reseated;
    const lines = (/** @type {string} */ title, /** @type {any[]} */ all) => [
      make("h2", {}, title),
      make("ul", { className: "prices" }, ...priceLines(all)),
    ];
    const amount = positive(difference);
    const [sum, buttons] =
      difference.amount === 0
        ? [phrase("console.reseat.same"), [act(phrase("console.reseat.move"), body, reseated)]]
        : difference.amount > 0
          ? [
              phrase("console.reseat.more", { amount }),
              [act(phrase("console.reseat.no_charge"), body, reseated, "waive")],
            ]
          : [
              phrase("console.reseat.less", { amount }),
              [
                act(phrase("console.reseat.refund", { amount: money(refund) }), body, reseated, "refund"),
                act(phrase("console.reseat.no_refund"), body, reseated, "waive"),
              ],
            ];
    return [
      ...lines(phrase("console.reseat.sold", { seat: one.from_label }), one.sold_for),
      ...lines(phrase("console.reseat.new", { seat: one.to_label }), one.costs),
      make("p", {}, make("strong", {}, sum)),
      make("div", { className: "line" }, ...buttons),
    ];
  };

  /** @param {string} text @param {any} body @param {any} reseated @param {string} [settlement] */
  const act = (text, body, reseated, settlement) => {
    let key = newKey();
    return button({}, text, async () => {
      const confirmed = { ...body, expected_difference: reseated.difference, ...(settlement ? { settlement } : {}) };
      try {
        await moved(await call("POST", `${url}/reseat`, { body: confirmed, key }));
      } catch (problem) {
        // A refusal did nothing; where it is not known what was done the same move is sent again.
        if (/** @type {any} */ (problem).status < 500) key = newKey();
        throw problem;
      }
      forget();
      to.value = "";
      await load();
    });
  };

  const load = async () => {
    known = await loadSeats(event);
    offer();
  };
  const element = make("details", { className: "above" }, make("summary", {}, phrase("console.reseat")), ask, shown);
  element.addEventListener("toggle", () => {
    if (/** @type {HTMLDetailsElement} */ (element).open) load().catch(() => {});
  });
  let sold = "";
  const update = (/** @type {any} */ details) => {
    const own = details.seats.filter((/** @type {any} */ seat) => seat.state === "sold");
    element.hidden = details.order.state !== "confirmed" || !own.length;
    const text = JSON.stringify(own);
    if (text === sold) return;
    sold = text;
    const before = ticket.value;
    ticket.replaceChildren(
      ...own.map((/** @type {any} */ seat) => make("option", { value: seat.id }, seat.label ?? seat.id)),
    );
    if (own.some((/** @type {any} */ seat) => seat.id === before)) ticket.value = before;
    forget();
  };
  return { element, update };
}
