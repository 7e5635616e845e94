// @ts-check
// A plot of one figure over time, as SVG, with its words for those who cannot see it.

import { locale } from "./api.js";
const NS = "http://www.w3.org/2000/svg";
/** @param {string} tag @param {Record<string, any>} set @param {string} [text] */
function svg(tag, set, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(set)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** @param {string} title @param {{at: number, value: number}[]} points */
export function plot(title, points) {
  const width = 400,
    height = 120,
    top = Math.max(1, ...points.map((p) => p.value));
  const from = points[0]?.at ?? 0,
    to = Math.max(from + 1, points.at(-1)?.at ?? 1);
  const x = (/** @type {number} */ at) => ((at - from) / (to - from)) * width;
  const y = (/** @type {number} */ value) => height - (value / top) * (height - 16);
  const last = points.at(-1)?.value ?? 0;
  const root = svg("svg", {
    class: "plot",
    viewBox: `0 -6 ${width} ${height + 24}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `${title}: now ${last}, at most ${top}`,
  });
  root.append(
    svg("line", { x1: 0, y1: height, x2: width, y2: height }),
    svg("line", { x1: 0, y1: y(top), x2: width, y2: y(top) }),
  );
  if (points.length > 1) {
    const line = points.map((p, i) => `${i ? "L" : "M"}${x(p.at).toFixed(1)} ${y(p.value).toFixed(1)}`).join("");
    root.append(
      svg("path", { class: "area", d: `${line}L${width} ${height}L0 ${height}Z` }),
      svg("path", { class: "line", d: line }),
    );
  }
  const time = (/** @type {number} */ at) =>
    new Date(at).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });
  root.append(
    svg("text", { x: 0, y: y(top) - 2 }, top.toLocaleString(locale)),
    svg("text", { x: 0, y: height + 14 }, points.length ? time(from) : ""),
    svg("text", { x: width, y: height + 14, "text-anchor": "end" }, points.length ? time(to) : ""),
  );
  return root;
}
