// @ts-check
// Seats in words: their places, and the list of them for those who cannot use the map.
import { phrase } from "./api.js";
import { AVAILABLE } from "./seat-states.js";
import { make } from "./make.js";
import { ticketPrice } from "./price.js";

/**
 * Makes the list: a part for each block, whose seats are made when it is opened first.
 * @param {any} layout
 * @param {any[]} seats
 * @param {{ onChoose: (seat: any) => void, onArea: (area: any, quantity: number) => void, onOpen: () => void }} hooks
 *   `onOpen` is called when a block's seats were made
 */
export function seatList(layout, seats, hooks) {
  return layout.blocks.map((/** @type {any} */ block) => {
    const details = make("details", {}, make("summary", {}, block.name || phrase("seats.seats")));
    details.addEventListener("toggle", () => {
      if (!(/** @type {any} */ (details).open) || details.children.length > 1) return;
      if (block.kind === "area") return details.append(areaForm(block, hooks.onArea));
      const rows = new Map();
      for (const seat of seats)
        if (seat.block === block) rows.has(seat.row) ? rows.get(seat.row).push(seat) : rows.set(seat.row, [seat]);
      for (const [row, ofRow] of rows) {
        const name = row.label ? rowText(row) : block.name;
        const buttons = ofRow.map((/** @type {any} */ seat) => seatButton(seat, hooks.onChoose));
        details.append(
          make("div", { role: "group", "aria-label": name }, row.label ? `${row.label} ` : "", ...buttons),
        );
      }
      hooks.onOpen();
    });
    return details;
  });
}

/** Places of an area are all alike: a fan says how many. @param {any} area @param {(area: any, quantity: number) => void} onArea */
function areaForm(area, onArea) {
  const quantity = make("input", { type: "number", min: 1, max: 100, value: 1, required: true });
  const form = make(
    "form",
    { className: "area" },
    make("label", {}, `${phrase("seats.how_many_places")} `, quantity),
    make("button", { className: "primary" }, phrase("seats.hold_places")),
  );
  form.addEventListener("submit", (submit) => {
    submit.preventDefault();
    onArea(area, Number(/** @type {HTMLInputElement} */ (quantity).value));
  });
  return form;
}

/** @param {any} seat @param {(seat: any) => void} onChoose */
function seatButton(seat, onChoose) {
  const attributes = { className: "seat", "data-seat": seat.id, type: "button" };
  const button = make("button", attributes, seat.label || placeOf(seat));
  button.addEventListener("click", () => onChoose(seat));
  return button;
}

/** Says how a seat is: one of the states, or chosen. @param {string} state */
export const seatState = (state) => phrase(`seats.state.${state}`);

/** Puts a value where a text has `%s`. @param {string} text @param {string} value */
const filled = (text, value) => text.split("%s").join(value);
/** @param {any} row */
const rowText = (row) => filled(row.row_text ?? "row %s", row.label);

/** Says where a seat is, as orders have it in `label`. @param {any} seat */
export function placeOf(seat) {
  if (seat.area) return seat.area.name;
  const { block, row, label } = seat;
  const parts = [block.name, row.label && rowText(row), label && filled(row.seat_text ?? "seat %s", label)];
  const text = parts.filter(Boolean).join(", ") || seat.id;
  return block.name ? text : text[0].toUpperCase() + text.slice(1);
}

/**
 * Texts about a seat: its place, category, price and state.
 * @param {any} seat or an area, as `{ area }` @param {any} layout @param {string} state
 */
export function seatParts(seat, layout, state) {
  const category = layout.categories[seat.category ?? seat.area.category];
  const kind = [
    layout.accessible.includes(seat.id) && phrase("seats.accessible"),
    layout.companion?.includes(seat.id) && phrase("seats.companion"),
    seat.notes ?? seat.block?.notes,
  ];
  return [placeOf(seat), category.name, ticketPrice(category), ...kind.filter(Boolean), state];
}

/**
 * Ids of free places of an area that are side by side in its list, from a random one on, so that two fans rarely ask for
 * the same; nothing if there are too few. @param {any[]} seats @param {any} area @param {number} quantity
 */
export function freePlaces(seats, area, quantity) {
  const free = seats.filter((seat) => seat.area?.id === area.id && seat.state === AVAILABLE);
  if (free.length < quantity) return null;
  const from = Math.floor(Math.random() * (free.length - quantity + 1));
  return free.slice(from, from + quantity).map((seat) => seat.id);
}
