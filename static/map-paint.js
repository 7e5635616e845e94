// @ts-check
// Paints the seat map: what the plan draws, areas, seats, and the names of sections and rows.
import { edge, hue, page, textOn } from "./map-colours.js";
import { paintShapes } from "./map-shapes.js";

export const AVAILABLE = 0,
  HELD = 1;
/** Scales from which on rows and seats have their names, in pixels of a seat's width. */
const ROWS_FROM = 7,
  NUMBERS_FROM = 16;
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
  for (const area of map.areas) paintArea(pen, map, area, view, { ...colours, fill: fills[area.category] });
  const leftmost = paintSeats(pen, map, view, { ...colours, fills, edges, w, h });
  if (view.scale > ROWS_FROM) paintRows(pen, map, leftmost, view, { ...colours, w, h });
  paintNames(pen, map, view, { ...colours, h });
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
  pen.fillText("STAGE", middle, y - 2.2 * s);
}

/** @param {CanvasRenderingContext2D} pen @param {any} map @param {any} area @param {any} view @param {any} colours */
function paintArea(pen, map, area, { x, y, scale: s }, { fill, ink, font }) {
  const free = map.free(area);
  pen.fillStyle = fill;
  pen.globalAlpha = 0.16 + (0.5 * free) / Math.max(1, area.capacity);
  pen.beginPath();
  pen.roundRect(x + area.x * s, y + area.y * s, area.width * s, area.height * s, s * 0.6);
  pen.fill();
  pen.globalAlpha = 1;
  pen.fillStyle = ink;
  pen.font = `600 ${Math.max(10, s * 1.1)}px ${font}`;
  const middle = [x + (area.x + area.width / 2) * s, y + (area.y + area.height / 2) * s];
  pen.fillText(`${area.name} · ${free} free`, middle[0], middle[1]);
}

/**
 * Paints the seats that are in view, and returns the leftmost one of each row.
 * @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours
 */
function paintSeats(pen, map, { x: ox, y: oy, scale: s }, { fills, edges, ink, soft, line, paper, font, w, h }) {
  /** @type {Map<any, { x: number, y: number, seat: any }>} */ const leftmost = new Map();
  for (const seat of map.drawn) {
    const x = ox + seat.x * s,
      y = oy + seat.y * s;
    if (x < -s || y < -s || x > w + s || y > h + s) continue;
    const known = leftmost.get(seat.row);
    if (x > 0 && (!known || x < known.x)) leftmost.set(seat.row, { x, y, seat });
    const mine = map.mine.has(seat.id),
      r = s * Math.min(0.5, seat.radius ?? 0.42),
      fill = mine ? ink : fills[seat.category];
    pen.beginPath();
    if (mine || seat.state === AVAILABLE) {
      pen.fillStyle = fill;
      if (seat.reserved) pen.roundRect(x - r, y - r, r * 2, r * 2, r * 0.35);
      else pen.arc(x, y, mine ? r * 1.15 : r, 0, 7);
      pen.fill();
      if (!mine && edges[seat.category] !== fill) {
        pen.strokeStyle = edges[seat.category];
        pen.lineWidth = Math.max(0.7, s * 0.08);
        pen.stroke();
      }
    } else if (seat.state === HELD) {
      pen.strokeStyle = soft;
      pen.lineWidth = Math.max(0.7, s * 0.1);
      pen.arc(x, y, r * 0.75, 0, 7);
      pen.stroke();
    } else {
      pen.fillStyle = line;
      pen.arc(x, y, r * 0.75, 0, 7);
      pen.fill();
    }
    if (s > NUMBERS_FROM && (mine || seat.state === AVAILABLE)) {
      pen.fillStyle = mine ? paper : textOn(fill);
      pen.font = `600 ${Math.min(s * 0.4, (r * 2.6) / Math.max(2, seat.label.length))}px ${font}`;
      pen.fillText(seat.label, x, y);
    }
  }
  return leftmost;
}

/**
 * Paints the labels of rows: beyond their ends, and on a strip at the edge where the beginning is out of view.
 * @param {CanvasRenderingContext2D} pen @param {any} map @param {Map<any, any>} leftmost @param {any} view @param {any} colours
 */
function paintRows(pen, map, leftmost, { x: ox, y: oy, scale: s }, { soft, paper, font, w, h }) {
  const size = Math.max(9, Math.min(14, s * 0.6));
  pen.font = `600 ${size}px ${font}`;
  pen.fillStyle = soft;
  const isSeen = (/** @type {number[]} */ [x, y]) => x > 4 && y > 4 && x < w - 4 && y < h - 4;
  const unseen = [];
  for (const [row, { y }] of leftmost) {
    if (!row.label) continue;
    const marks = (row.marks ?? []).map((/** @type {number[]} */ [mx, my]) => [ox + mx * s, oy + my * s]);
    for (const [mx, my] of marks) pen.fillText(row.label, mx, my);
    if (!marks.some(isSeen)) unseen.push({ label: row.label, y });
  }
  const width = Math.max(0, ...unseen.map(({ label }) => pen.measureText(label).width)) + 10;
  pen.globalAlpha = STRIP_ALPHA;
  pen.fillStyle = paper;
  if (unseen.length) pen.fillRect(0, 0, width, h);
  pen.globalAlpha = 1;
  pen.fillStyle = soft;
  for (const { label, y } of unseen) pen.fillText(label, width / 2, y);
}

/** Paints the names of sections, at the upper edge where they would be out of view. @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours */
function paintNames(pen, map, { x, y, scale: s }, { soft, paper, font, h }) {
  const size = Math.max(10, Math.min(15, s * 0.85));
  pen.font = `600 ${size}px ${font}`;
  pen.textAlign = "left";
  for (const block of map.sections) {
    if (!block.name) continue;
    const top = y + (block.y + 0.1) * s,
      bottom = y + block.bottom * s;
    if (bottom < size * 2 || top > h) continue;
    const at = Math.max(size, top),
      left = Math.max(6, x + block.x * s),
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
  } else pen.arc(x + cursor.x * s, y + cursor.y * s, Math.max(7, s * 0.67), 0, 7);
  pen.stroke();
}
