// @ts-check
// The card beside the pointer: place, price and state of the seat under it. Readers hear the same elsewhere.

import { make } from "./make.js";

export class MapCard {
  /** @param {HTMLElement} element in the map's box */
  constructor(element) {
    this.element = element;
  }

  /** @param {string[] | null} parts place and more; none to hide it @param {number} x @param {number} y */
  show(parts, x, y) {
    const { element } = this;
    element.hidden = !parts;
    if (!parts) return;
    const [place, ...rest] = parts;
    element.replaceChildren(make("strong", {}, place), rest.join(" · "));
    const box = /** @type {HTMLElement} */ (element.parentElement);
    const { offsetWidth: width, offsetHeight: height } = element;
    element.style.left = `${Math.max(4, Math.min(box.clientWidth - width - 4, x - width / 2))}px`;
    element.style.top = `${y > height + 20 ? y - height - 14 : y + 18}px`;
  }
}
