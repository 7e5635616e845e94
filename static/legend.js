// @ts-check
// The key of the seat map, which is its filter as well, the choice of a category, and how the map is used.
import { $, phrase } from "./api.js";
import { edge, hue } from "./map-colours.js";
import { make } from "./make.js";
import { ticketPrice } from "./price.js";

/** Categories that are for sale, with their places in the layout. @param {any} layout @returns {[any, number][]} */
const forSale = (layout) =>
  layout.categories
    .map((/** @type {any} */ category, /** @type {number} */ at) => [category, at])
    .filter((/** @type {[any, number]} */ [category]) => !category.not_for_sale);

/** The price of a ticket, and those of its other types. @param {any} category */
function typePrices(category) {
  const others = (category.ticket_types ?? []).slice(1);
  return [ticketPrice(category), ...others.map((/** @type {any} */ o) => `${o.name} ${ticketPrice(o)}`)].join(" · ");
}

/** @param {any} layout @param {number} at index of the category */
function swatchOf(layout, at) {
  const swatch = make("span", { className: "swatch" });
  swatch.style.background = hue(layout, at);
  swatch.style.borderColor = edge(layout, at);
  return swatch;
}

/**
 * The entries of the key. Those of categories are pressed to see only their seats, where there are several.
 * @param {any} layout @param {(categories: Set<number> | null) => void} onFilter gets those that are pressed; none for all
 */
export function legend(layout, onFilter) {
  const kinds = ["held", "taken", "mine", ...(layout.accessible.length ? ["reserved"] : [])];
  /** @type {Set<number>} */ const pressed = new Set();
  const entries = forSale(layout).map(([category, at], _, all) => {
    const content = [swatchOf(layout, at), `${category.name} ${typePrices(category)}`];
    if (all.length === 1) return make("li", {}, ...content);
    const chip = make("button", { type: "button", className: "chip", "aria-pressed": "false" }, ...content);
    chip.addEventListener("click", () => {
      if (!pressed.delete(at)) pressed.add(at);
      chip.setAttribute("aria-pressed", String(pressed.has(at)));
      onFilter(pressed.size ? new Set(pressed) : null);
    });
    return make("li", {}, chip);
  });
  return [
    ...entries,
    ...kinds.map((kind) =>
      make("li", {}, make("span", { className: `swatch ${kind}` }), phrase(`seats.legend.${kind}`)),
    ),
  ];
}

/** The choices of a category. @param {any} layout */
export const categoryOptions = (layout) =>
  forSale(layout).map(([c]) => make("option", { value: c.id }, `${c.name} · ${ticketPrice(c)}`));

/** Says how the map is used at a level. @param {boolean} isFar */
export function showHelp(isFar) {
  $("map-help").textContent = phrase(isFar ? "seats.help.far" : "seats.help.near");
}
