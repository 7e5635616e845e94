// @ts-check
// A plot of one figure over time, as SVG, with its words for those who cannot see it.

import { count, locale, phrase } from "./api.js";
import { make } from "./make.js";
const NS = "http://www.w3.org/2000/svg";
/** @param {string} tag @param {Record<string, any>} set @param {string} [text] */
function svg(tag, set, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(set)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

const WIDTH = 400,
  HEIGHT = 120;

/** The axes of a plot. @param {string} label @param {number} below room for words below them */
function frame(label, below) {
  const root = svg("svg", {
    class: "plot",
    viewBox: `0 -6 ${WIDTH} ${HEIGHT + 6 + below}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  });
  root.append(
    svg("line", { x1: 0, y1: HEIGHT, x2: WIDTH, y2: HEIGHT }),
    svg("line", { x1: 0, y1: 16, x2: WIDTH, y2: 16 }),
  );
  return root;
}

/**
 * Bars of equal width, one for each span of time, with its words where the pointer rests on it. It may be of any width: no
 * text is stretched.
 * @param {string} label
 * @param {[string, string]} times the beginning of the first and the end of the last
 * @param {{value: number, words: string}[]} spans
 */
export function bars(label, times, spans) {
  const top = Math.max(1, ...spans.map((s) => s.value));
  const width = WIDTH / Math.max(1, spans.length);
  const root = frame(label, 1);
  spans.forEach(({ value, words }, i) => {
    const height = (value / top) * (HEIGHT - 16);
    const column = svg("g", { class: "bar" });
    column.append(
      svg("title", {}, words),
      svg("rect", { class: "reach", x: i * width, y: 16, width, height: HEIGHT - 16 }),
      svg("rect", { x: (i + 0.1) * width, y: HEIGHT - height, width: width * 0.8, height }),
    );
    root.append(column);
  });
  const ends = make("div", { className: "ends" }, ...times.map((time) => make("span", {}, time)));
  return make("div", { className: "bars" }, make("span", { className: "top" }, count(top)), root, ends);
}

/** @param {string} title @param {{at: number, value: number}[]} points */
export function plot(title, points) {
  const top = Math.max(1, ...points.map((p) => p.value));
  const from = points[0]?.at ?? 0,
    to = Math.max(from + 1, points.at(-1)?.at ?? 1);
  const x = (/** @type {number} */ at) => ((at - from) / (to - from)) * WIDTH;
  const y = (/** @type {number} */ value) => HEIGHT - (value / top) * (HEIGHT - 16);
  const last = points.at(-1)?.value ?? 0;
  const time = (/** @type {number} */ at) =>
    points.length ? new Date(at).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" }) : "";
  const root = frame(phrase("console.plot.label", { title, last, top }), 18);
  root.append(
    svg("text", { x: 0, y: 14 }, count(top)),
    svg("text", { x: 0, y: HEIGHT + 14 }, time(from)),
    svg("text", { x: WIDTH, y: HEIGHT + 14, "text-anchor": "end" }, time(to)),
  );
  if (points.length > 1) {
    const line = points.map((p, i) => `${i ? "L" : "M"}${x(p.at).toFixed(1)} ${y(p.value).toFixed(1)}`).join("");
    root.append(
      svg("path", { class: "area", d: `${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` }),
      svg("path", { class: "line", d: line }),
    );
  }
  return root;
}
