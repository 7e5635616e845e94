// @ts-check
// The console's desk: seats sold or given away without the line and without a provider.
import { call, locale, newKey, phrase } from "./api.js";
import { api, atEnd, field, form, page, say } from "./console.js";
import { LiveSeats, fetchSeats } from "./live-seats.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";
import { ticketTotal } from "./price.js";
import { placeOf, seatState } from "./seat-list.js";
import { BLOCKED, states } from "./seat-states.js";

const methods = ["cash", "card_at_desk", "invoice", "comp"];

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function deskPage(event) {
  const base = `/api/v1/events/${event}`;
  const [layout, { seats, layout: tag }] = await Promise.all([
    call("GET", `${base}/seating`, { cache: "no-cache" }),
    call("GET", `${base}/seats`, { cache: "no-cache" }),
    loadCurrencies(),
  ]);
  const known = seats.map((/** @type {any} */ seat) => ({ id: seat.id, state: states.indexOf(seat.state) }));
  return () => show(event, layout, known, tag);
}

/** @param {any} category @param {string} text @param {(type: string) => void} onChange */
function typePicker(category, text, onChange) {
  const { ticket_types: types = [] } = category;
  if (!types.length) return [];
  const standard = make("option", { value: "" }, category.standard_name ?? phrase("console.standard"));
  const others = types.map((/** @type {any} */ type) => make("option", { value: type.id }, type.name));
  const select = /** @type {HTMLSelectElement} */ (make("select", { ariaLabel: text }, standard, ...others));
  select.addEventListener("change", () => onChange(select.value));
  return [select];
}

/** @param {string} event @param {any} layout @param {{ id: string, state: number }[]} seats @param {string} tag of the layout */
function show(event, layout, seats, tag) {
  const known = new Map(seats.map((seat) => [seat.id, seat]));
  const stateOf = (/** @type {string} */ id) => states[known.get(id)?.state ?? BLOCKED];
  /** Whether a sale is under way: the seats picked are taken by it. */
  let isSelling = false;
  /** Seats that were picked, with the types of their tickets. @type {Map<string, { seat: any, category: any, type: string }>} */
  const picked = new Map();
  /** @type {Map<string, any>} */ const categories = new Map(
    layout.categories.map((/** @type {any} */ c) => [c.id, c]),
  );
  const list = make("ul", { className: "prices", "aria-label": phrase("console.desk.picked") });
  const sum = make("p", { role: "status" });
  const draw = () => {
    const rows = [...picked].map(([id, own]) => {
      const place = placeOf(own.seat);
      const types = typePicker(own.category, phrase("console.desk.type", { place }), (type) => {
        own.type = type;
        total();
      });
      for (const select of types) select.value = own.type;
      const remove = make(
        "button",
        { type: "button", ariaLabel: phrase("console.desk.leave_out_seat", { place }) },
        phrase("console.desk.leave_out"),
      );
      remove.addEventListener("click", () => toggle(id, own.seat, own.category));
      return make("li", {}, make("span", {}, place), ...types, remove);
    });
    list.replaceChildren(...rows);
    total();
  };
  const total = () => {
    const prices = [...picked.values()].map(({ category, type }) => {
      const own = category.ticket_types?.find((/** @type {any} */ one) => one.id === type);
      return own?.total ?? ticketTotal(category);
    });
    const amount = prices.reduce((so, price) => so + price.amount, 0);
    const text = () => phrase("console.desk.sum", { amount: money({ ...prices[0], amount }) });
    sum.textContent = prices.length ? text() : "";
  };
  /** @type {Map<string, HTMLButtonElement>} */ const buttons = new Map();
  const blocked = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", name: "blocked" }));
  const isOffered = (/** @type {string} */ id) => stateOf(id) === (blocked.checked ? "blocked" : "available");
  blocked.addEventListener("change", () => {
    picked.clear();
    for (const [id, element] of buttons) {
      element.disabled = !isOffered(id);
      element.setAttribute("aria-pressed", "false");
    }
    draw();
  });
  const toggle = (/** @type {string} */ id, /** @type {any} */ seat, /** @type {any} */ category) => {
    if (!picked.delete(id)) picked.set(id, { seat, category, type: "" });
    buttons.get(id)?.setAttribute("aria-pressed", String(picked.has(id)));
    draw();
  };
  const seatButton = (/** @type {any} */ seat, /** @type {any} */ category) => {
    const set = {
      type: "button",
      disabled: !isOffered(seat.id),
      title: seatState(stateOf(seat.id)),
      "aria-pressed": picked.has(seat.id),
    };
    const attributes = { ...set, ariaLabel: placeOf(seat) };
    const element = /** @type {HTMLButtonElement} */ (make("button", attributes, seat.label || seat.id));
    element.addEventListener("click", () => toggle(seat.id, seat, category));
    buttons.set(seat.id, element);
    return element;
  };
  const block = (/** @type {any} */ one) => {
    const details = make("details", {}, make("summary", {}, one.name || phrase("console.seats")));
    // A hall has thousands of seats: those of a block are made when it is opened.
    details.addEventListener("toggle", () => {
      if (details.children.length > 1) return;
      for (const row of one.rows) {
        const own = row.seats.map((/** @type {any} */ seat) =>
          seatButton({ ...seat, block: one, row }, categories.get(seat.category ?? row.category ?? one.category)),
        );
        details.append(
          make(
            "p",
            { role: "group", ariaLabel: phrase("console.desk.row", { row: row.label }) },
            `${row.label ?? ""} `,
            ...own,
          ),
        );
      }
    });
    return details;
  };
  const sections = layout.blocks.filter((/** @type {any} */ one) => one.kind !== "area");
  const options = layout.categories.map((/** @type {any} */ c) => make("option", { value: c.id }, c.name));
  let key = newKey();
  const sell = async (/** @type {any} */ { elements }) => {
    const wanted = Number(elements.quantity.value);
    if (!picked.size && !wanted) throw new Error(phrase("console.desk.pick"));
    if (picked.size && wanted) throw new Error(phrase("console.desk.not_both"));
    const typed = [...picked].filter(([, own]) => own.type).map(([id, own]) => [id, own.type]);
    const chosen = picked.size
      ? {
          seats: [...picked.keys()],
          ticket_types: Object.fromEntries(typed),
          ...(blocked.checked ? { blocked: true } : {}),
        }
      : { best_available: { quantity: wanted, category: elements.category.value } };
    const email = elements.email.value.trim();
    const buyer = { name: elements.name.value, ...(email ? { email } : {}) };
    const body = { ...chosen, buyer, method: elements.method.value };
    isSelling = true;
    try {
      const order = await call("POST", `${api}/events/${event}/orders`, { body, key });
      say(phrase("console.desk.sold", { amount: money(order.total) }));
      location.hash = `#/event/${event}/order/${order.id}`;
    } catch (problem) {
      // A refusal did nothing; without an answer the same sale is sent again.
      if (/** @type {any} */ (problem).status) key = newKey();
      throw problem;
    } finally {
      isSelling = false;
    }
  };
  const silence = make("p", { className: "bad", role: "status", hidden: true });
  page(
    make("p", {}, make("a", { href: `#/event/${event}` }, phrase("console.back"))),
    make("h1", {}, phrase("console.desk")),
    silence,
    make(
      "div",
      { className: "grid" },
      make("section", { className: "card desk" }, make("h2", {}, phrase("console.seats")), ...sections.map(block)),
      form(
        { className: "card" },
        sell,
        make("label", { className: "check" }, blocked, ` ${phrase("console.desk.blocked")}`),
        list,
        sum,
        field(phrase("console.desk.best"), { name: "category" }, "select", ...options),
        field(phrase("console.desk.how_many"), { name: "quantity", type: "number", min: 0, max: 100 }),
        field(
          phrase("console.desk.paid_by"),
          { name: "method" },
          "select",
          ...methods.map((value) => make("option", { value }, phrase(`console.desk.method.${value}`))),
        ),
        field(phrase("console.name"), { name: "name", required: true, maxLength: 200 }),
        field(phrase("console.desk.email"), { name: "email", type: "email", maxLength: 254 }),
        make("button", { className: "primary" }, phrase("console.desk.sell")),
      ),
    ),
  );
  const changed = () => {
    for (const [id, element] of buttons) {
      element.title = seatState(stateOf(id));
      element.disabled = !isOffered(id);
    }
    if (isSelling) return;
    const gone = [...picked].filter(([id]) => !isOffered(id));
    for (const [id, own] of gone) toggle(id, own.seat, own.category);
    const places = gone.map(([, own]) => placeOf(own.seat)).join("; ");
    if (gone.length) say(phrase("console.desk.gone", { places }));
  };
  const live = new LiveSeats(
    () => fetchSeats(call, `/api/v1/events/${event}`),
    { seats, byId: known },
    {
      onChange: changed,
      // Another plan: all of the page is made anew.
      onReplaced: () => dispatchEvent(new Event("hashchange")),
      onSilence: (since) => {
        silence.hidden = !since;
        const at = since ? new Date(since).toLocaleTimeString(locale) : "";
        silence.textContent = phrase("console.silence.seats", { since: at });
      },
    },
  );
  live.layoutTag = tag;
  const heard = live.watch(`${api}/events/${event}/seats/ws`);
  atEnd(() => heard.end());
}
