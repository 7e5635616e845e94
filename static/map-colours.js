// @ts-check
// Colours of the map: those of the plan where it has some, made visible on the paper of the page.

const hues = [
  ["#5a35c8", "#b39bff"],
  ["#b0551a", "#ffb066"],
  ["#0d7a6a", "#5fd6c0"],
  ["#a82c66", "#ff8fc0"],
  ["#31688e", "#7cc0ea"],
  ["#6b7a10", "#cbd95f"],
];
/** Least contrast of what is not text, and of large text, by WCAG. */
const VISIBLE = 3;

export const dark = matchMedia("(prefers-color-scheme: dark)");

const pen = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
/** @type {Map<string, number[]>} */ const known = new Map();

/** Red, green and blue of a colour of CSS, 0 to 255; black if it is none. @param {string} colour */
function parts(colour) {
  const cached = known.get(colour);
  if (cached) return cached;
  pen.fillStyle = "#000";
  pen.fillStyle = colour;
  const text = /** @type {string} */ (pen.fillStyle);
  const found = text.startsWith("#")
    ? [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16))
    : (text.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);
  known.set(colour, found);
  return found;
}

/** @param {string} colour */
function luminance(colour) {
  const [red, green, blue] = parts(colour).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** @param {string} one @param {string} other */
function contrast(one, other) {
  const [dim, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dim + 0.05);
}

/** @param {string} colour @param {string} other @param {number} share of the other */
export function mix(colour, other, share) {
  const to = parts(other);
  const mixed = parts(colour).map((part, at) => Math.round(part + (to[at] - part) * share));
  return `rgb(${mixed.join(", ")})`;
}

/** The colour, as near to the ink as it must be to stand out from the paper. @param {string} colour @param {string} paper @param {string} ink */
export function visible(colour, paper, ink) {
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = share ? mix(colour, ink, share) : colour;
    if (contrast(mixed, paper) >= VISIBLE) return mixed;
  }
  return ink;
}

/** Black or white, whichever is read on a colour. @param {string} colour */
export const textOn = (colour) => (contrast(colour, "#fff") >= contrast(colour, "#17102e") ? "#fff" : "#17102e");

/** The paper and the ink of the page. */
export function page() {
  const style = getComputedStyle(document.documentElement);
  const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    paper: of("--card"),
    ink: of("--ink"),
    soft: of("--soft"),
    line: of("--line"),
    glow: of("--glow"),
    font: of("--font"),
  };
}

/**
 * The colour of a category's seats: the plan's, or one of ours.
 * @param {any} layout @param {number} at index of the category
 */
export const hue = (layout, at) => layout.categories[at]?.color ?? hues[at % hues.length][dark.matches ? 1 : 0];

/**
 * The colour of their edges, which stands out from the page where the plan's does not.
 * @param {any} layout @param {number} at index of the category @param {any} colours those of the page
 */
export const edge = (layout, at, { paper, ink } = page()) => visible(hue(layout, at), paper, ink);
