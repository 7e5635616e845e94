// @ts-check
// The seats as a list of buttons, for those who cannot use the map.
import { make } from "./make.js";

/**
 * Makes the list: a part for each block, whose seats are made when it is opened first.
 * @param {any} layout
 * @param {any[]} seats
 * @param {(seat: any) => void} onChoose
 * @param {() => void} onOpen called when a block's seats were made
 */
export function seatList(layout, seats, onChoose, onOpen) {
  return layout.blocks.map((/** @type {any} */ block) => {
    const details = make("details", {}, make("summary", {}, block.name));
    details.addEventListener("toggle", () => {
      if (!(/** @type {any} */ (details).open) || details.children.length > 1) return;
      const own = seats.filter((seat) => seat.block === block || seat.area?.id === block.id);
      for (const [label, ofRow] of byRow(own)) {
        const name = label ? `Row ${label}` : block.name;
        const buttons = ofRow.map((seat) => seatButton(seat, onChoose));
        details.append(make("div", { role: "group", "aria-label": name }, label ? `${label} ` : "", ...buttons));
      }
      onOpen();
    });
    return details;
  });
}

/** @param {any[]} seats @returns {Map<string, any[]>} */
function byRow(seats) {
  const rows = new Map();
  for (const seat of seats) {
    const label = seat.row?.label ?? "";
    rows.set(label, [...(rows.get(label) ?? []), seat]);
  }
  return rows;
}

/** @param {any} seat @param {(seat: any) => void} onChoose */
function seatButton(seat, onChoose) {
  const attributes = { className: "seat", "data-seat": seat.id, type: "button" };
  const button = make("button", attributes, seat.id.split("-").pop());
  button.addEventListener("click", () => onChoose(seat));
  return button;
}

/** Says where a seat is. @param {any} seat */
export function placeOf(seat) {
  if (!seat.block) return seat.id;
  return `${seat.block.name}, row ${seat.row.label}, seat ${seat.label ?? seat.id.split("-").pop()}`;
}
