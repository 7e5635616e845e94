// @ts-check
// The key of the seat map, and the choice of a category.
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

/** The entries of the key. @param {any} layout */
export function legend(layout) {
  const kinds = [
    ["held", "held by another fan"],
    ["taken", "gone"],
    ["mine", "yours"],
  ];
  if (layout.accessible.length) kinds.push(["reserved", "accessible or companion seat"]);
  return [
    ...forSale(layout).map(([category, at]) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = hue(layout, at);
      swatch.style.borderColor = edge(layout, at);
      return make("li", {}, swatch, `${category.name} ${typePrices(category)}`);
    }),
    ...kinds.map(([kind, text]) => make("li", {}, make("span", { className: `swatch ${kind}` }), text)),
  ];
}

/** The choices of a category. @param {any} layout */
export const categoryOptions = (layout) =>
  forSale(layout).map(([c]) => make("option", { value: c.id }, `${c.name} · ${ticketPrice(c)}`));
