// @ts-check
// Elements, for pages that build them.

/**
 * Makes an element; text is set as text, never as markup.
 * @param {string} tag @param {Record<string, any>} [set] @param {...(Node|string)} inside
 */
export function make(tag, set = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (name in element) /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
}
