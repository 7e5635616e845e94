// @ts-check
// Paints the seat map: what the plan draws, areas, seats, and the names of sections and rows.
import { phrase } from "./api.js";
import { edge, hue, page } from "./map-colours.js";
import { paintSections, paintText } from "./map-sections.js";
import { ticketPrice } from "./price.js";
import { paintShapes } from "./map-shapes.js";
import { paintSeats } from "./map-seats.js";

/** Scale from which on rows have their names, in pixels of a seat's width. */
const ROWS_FROM = 8;
/** Opacity of the paper behind a name that stands on seats. */
const STRIP_ALPHA = 0.9;

/** @param {any} map a `SeatMap` */
export function paint(map) {
  const { pen } = map,
    w = map.canvas.clientWidth,
    h = map.canvas.clientHeight,
    view = { x: map.x, y: map.y, scale: map.scale },
    colours = page();
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, w, h);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  if (map.layout.stage) paintStage(pen, map, view, colours);
  paintShapes(pen, map.shapes, view, colours);
  const fills = map.layout.categories.map((/** @type {any} */ _, /** @type {number} */ at) => hue(map.layout, at));
  const edges = fills.map((/** @type {string} */ _, /** @type {number} */ at) => edge(map.layout, at, colours));
  const all = { ...colours, fills, edges, w, h };
  for (const area of map.areas) paintArea(pen, map, area, view, { ...colours, fill: fills[area.category] });
  if (map.isFar()) paintSections(pen, map, view, all);
  else {
    const ends = paintSeats(pen, map, view, all);
    if (view.scale >= ROWS_FROM) paintRows(pen, ends, view, all);
    paintNames(pen, map, view, all);
  }
  if (map.cursor && document.activeElement === map.canvas) paintCursor(pen, map, view, colours);
}

/** @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours */
function paintStage(pen, map, { x, y, scale: s }, { glow, soft, font }) {
  const { width } = map.layout.size;
  const middle = x + (width / 2) * s,
    stage = Math.min(width * 0.4, 26) * s;
  pen.fillStyle = glow;
  pen.beginPath();
  pen.roundRect(middle - stage / 2, y - 3.2 * s, stage, 2 * s, s * 0.6);
  pen.fill();
  pen.fillStyle = soft;
  pen.font = `600 ${Math.max(9, s * 0.9)}px ${font}`;
  pen.fillText(phrase("seats.stage"), middle, y - 2.2 * s);
}

/** @param {CanvasRenderingContext2D} pen @param {any} map @param {any} area @param {any} view @param {any} colours */
function paintArea(pen, map, area, view, { fill, ink, font }) {
  const { x, y, scale: s } = view;
  const free = map.isShown(area) ? map.free(area) : 0;
  pen.fillStyle = fill;
  pen.globalAlpha = 0.16 + (0.5 * free) / Math.max(1, area.capacity);
  pen.beginPath();
  pen.roundRect(x + area.x * s, y + area.y * s, area.width * s, area.height * s, s * 0.6);
  pen.fill();
  pen.globalAlpha = 1;
  pen.fillStyle = ink;
  const price = ticketPrice(map.layout.categories[area.category]);
  const [middleX, middleY] = [area.x + area.width / 2, area.y + area.height / 2];
  paintText(pen, { ...area, price, free, x: middleX, y: middleY }, view, font);
}

/**
 * Paints the labels of rows: beyond both of their ends, and on a strip at the edge where an end is out of view.
 * @param {CanvasRenderingContext2D} pen @param {Map<any, any>} ends the outermost seats of each row that are in view
 * @param {any} view @param {any} colours
 */
function paintRows(pen, ends, { x: ox, y: oy, scale: s }, { soft, paper, font, w, h }) {
  const size = Math.max(9, Math.min(14, s * 0.6));
  pen.font = `600 ${size}px ${font}`;
  const isSeen = (/** @type {number[]} */ [x, y]) => x > 4 && y > 4 && x < w - 4 && y < h - 4;
  /** @type {any[]} */ const beyond = [],
    /** @type {any[]} */ atLeft = [],
    /** @type {any[]} */ atRight = [];
  for (const [row, { left, right }] of ends) {
    if (!row.label) continue;
    const marks = (row.marks ?? []).map((/** @type {number[]} */ [mx, my]) => [ox + mx * s, oy + my * s]);
    const seen = marks.filter(isSeen);
    for (const [x, y] of seen) beyond.push({ label: row.label, x, y });
    const middle = (left.x + right.x) / 2;
    const isCut = [left.x < s * 1.5, right.x > w - s * 1.5];
    if (isCut[0] && !seen.some((/** @type {number[]} */ [x]) => x <= middle))
      atLeft.push({ label: row.label, y: left.y });
    if (isCut[1] && marks.length > 1 && !seen.some((/** @type {number[]} */ [x]) => x > middle))
      atRight.push({ label: row.label, y: right.y });
  }
  pen.fillStyle = soft;
  for (const { label, x, y } of apart(beyond, size)) pen.fillText(label, x, y);
  for (const labels of [atLeft, atRight]) {
    const width = Math.max(0, ...labels.map((/** @type {any} */ { label }) => pen.measureText(label).width)) + 10,
      edge = labels === atLeft ? 0 : w - width;
    pen.globalAlpha = STRIP_ALPHA;
    pen.fillStyle = paper;
    if (labels.length) pen.fillRect(edge, 0, width, h);
    pen.globalAlpha = 1;
    pen.fillStyle = soft;
    const placed = labels.map((/** @type {any} */ { label, y }) => ({ label, x: edge + width / 2, y }));
    for (const { label, x, y } of apart(placed, size)) pen.fillText(label, x, y);
  }
}

/** Those labels that are not in the way of one before them. @param {any[]} labels @param {number} size of their type */
function apart(labels, size) {
  /** @type {any[]} */ const placed = [];
  for (const label of labels) {
    const isFree = placed.every(({ x, y }) => Math.abs(x - label.x) > size || Math.abs(y - label.y) > size * 0.9);
    if (isFree) placed.push(label);
  }
  return placed;
}

/** Paints the names of sections, at the upper edge where they would be out of view. @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours */
function paintNames(pen, map, { x, y, scale: s }, { soft, paper, font, w, h }) {
  const size = Math.max(10, Math.min(15, s * 0.85));
  pen.font = `600 ${size}px ${font}`;
  pen.textAlign = "left";
  for (const section of map.sections) {
    const { block } = section;
    if (!block.name) continue;
    if (x + (section.right + 1) * s < 0 || x + section.left * s > w) continue;
    const top = y + (section.top - 1.2) * s,
      bottom = y + section.bottom * s;
    if (bottom < size * 2 || top > h) continue;
    const at = Math.max(size, top),
      left = Math.max(6, x + section.left * s),
      width = pen.measureText(block.name).width;
    pen.globalAlpha = STRIP_ALPHA;
    pen.fillStyle = paper;
    pen.fillRect(left - 3, at - size * 0.7, width + 6, size * 1.4);
    pen.globalAlpha = 1;
    pen.fillStyle = soft;
    pen.fillText(block.name, left, at);
  }
  pen.textAlign = "center";
}

/** @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours */
function paintCursor(pen, map, { x, y, scale: s }, { ink }) {
  const { cursor } = map;
  pen.strokeStyle = ink;
  pen.lineWidth = 2.5;
  pen.beginPath();
  if (cursor.area) {
    const { area } = cursor;
    pen.roundRect(x + area.x * s - 3, y + area.y * s - 3, area.width * s + 6, area.height * s + 6, s * 0.6);
  } else if (cursor.section) {
    const { left, top, right, bottom } = cursor.section;
    pen.roundRect(x + (left - 1) * s, y + (top - 1) * s, (right - left + 2) * s, (bottom - top + 2) * s, 6);
  } else pen.arc(x + cursor.x * s, y + cursor.y * s, Math.max(7, s * 0.67), 0, 7);
  pen.stroke();
}
