// @ts-check
// The hall from afar: each section as one shape with its price and the number of its free seats.
import { phrase } from "./api.js";
import { mix, textOn } from "./map-colours.js";
import { AVAILABLE } from "./seat-states.js";
import { ticketPrice, ticketTotal } from "./price.js";

/** Room around the seats of a section, in seat widths. */
const PADDING = 1.2;
/** Sizes of the text on a section, in pixels, and the height of its lines. */
const LARGEST = 15,
  SMALLEST = 9,
  LINE = 1.3;

/** @param {any[]} points @returns {number} twice the area of a polygon */
const area = (points) =>
  Math.abs(
    points.reduce((sum, { x, y }, at) => {
      const next = points[(at + 1) % points.length];
      return sum + x * next.y - next.x * y;
    }, 0),
  );

/** The corners of the convex hull of some points, by the monotone chain. @param {any[]} points */
function hull(points) {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const half = (/** @type {any[]} */ list) => {
    /** @type {any[]} */ const corners = [];
    for (const p of list) {
      for (;;) {
        const [a, b] = corners.slice(-2);
        if (!b || (b.x - a.x) * (p.y - a.y) > (b.y - a.y) * (p.x - a.x)) break;
        corners.pop();
      }
      corners.push(p);
    }
    return corners.slice(0, -1);
  };
  return sorted.length < 3 ? sorted : [...half(sorted), ...half(sorted.reverse())];
}

/** The outline along the outer rows and the ends of the others; the hull where rows are in no such order. @param {any} block */
function outline(block) {
  const rows = block.rows.map((/** @type {any} */ row) => row.seats).filter((/** @type {any[]} */ row) => row.length);
  const ends = rows.slice(1, -1);
  const along = [
    ...rows[0],
    ...ends.map((/** @type {any[]} */ row) => row.at(-1)),
    ...(rows.length > 1 ? [...rows.at(-1)].reverse() : []),
    ...ends.map((/** @type {any[]} */ row) => row[0]).reverse(),
  ];
  const around = hull(rows.flat()),
    share = area(along) / (area(around) || 1);
  return share > 0.5 && share <= 1.001 ? along : around;
}

/** @param {any} block @param {any[]} seats those of the section @param {any} layout */
function sectionOf(block, seats, layout) {
  const xs = seats.map((seat) => seat.x),
    ys = seats.map((seat) => seat.y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)],
    [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const path = new Path2D();
  for (const { x, y } of outline(block)) path.lineTo(x, y);
  path.closePath();
  // The text stands on the seat that is nearest to the middle: in a bow the middle itself may be outside.
  const [mx, my] = [(left + right) / 2, (top + bottom) / 2];
  const middle = seats.reduce((best, seat) =>
    Math.hypot(seat.x - mx, seat.y - my) < Math.hypot(best.x - mx, best.y - my) ? seat : best,
  );
  // The text is a quarter of the height above and below the middle.
  const room = (/** @type {"x" | "y"} */ along, /** @type {"x" | "y"} */ across, /** @type {number} */ at) => {
    const near = seats.filter((seat) => Math.abs(seat[across] - at) < 1).map((seat) => seat[along]);
    return Math.max(0, Math.min(Math.max(...near) - middle[along], middle[along] - Math.min(...near)) * 2 + PADDING);
  };
  const height = room("y", "x", middle.x);
  const width = Math.min(...[-1, 0, 1].map((part) => room("x", "y", middle.y + (part * height) / 4)));
  const priced = seats.filter((seat) => !layout.categories[seat.category].not_for_sale);
  return {
    block,
    name: block.name,
    seats,
    priced,
    path,
    left,
    right,
    top,
    bottom,
    width,
    height,
    x: middle.x,
    y: middle.y,
  };
}

/** The sections of a layout, as shapes. @param {any} layout @param {any[]} seats */
export function sectionsOf(layout, seats) {
  /** @type {Map<any, any[]>} */ const ofBlock = new Map();
  for (const seat of seats) {
    const own = ofBlock.get(seat.block);
    own ? own.push(seat) : ofBlock.set(seat.block, [seat]);
  }
  return [...ofBlock].map(([block, own]) => sectionOf(block, own, layout));
}

/** Counts the free seats of each section that a filter shows, and finds their prices. @param {any} map a `SeatMap` */
export function countSections(map) {
  const { categories } = map.layout;
  for (const section of map.sections) {
    const free = section.seats.filter((/** @type {any} */ seat) => seat.state === AVAILABLE && map.isShown(seat));
    const prices = new Map();
    for (const seat of free.length ? free : section.priced) prices.set(seat.category, categories[seat.category]);
    const [cheapest, ...others] = [...prices.values()].sort((a, b) => ticketTotal(a).amount - ticketTotal(b).amount);
    section.free = free.length;
    section.category = [...prices.keys()][0] ?? section.seats[0].category;
    const price = cheapest ? ticketPrice(cheapest) : "";
    section.price = others.some((other) => ticketPrice(other) !== price) ? phrase("seats.from", { price }) : price;
  }
}

/** What is said of a section: its name, price, and how many seats are free. @param {any} section */
export const sectionParts = ({ name, price, free }) =>
  [
    name || phrase("seats.section"),
    price,
    free ? phrase("seats.free", { count: free }) : phrase("seats.sold_out"),
  ].filter(Boolean);

/** Paints sections as shapes. @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours */
export function paintSections(pen, map, view, { paper, soft, line, font, fills }) {
  const r = devicePixelRatio;
  for (const section of map.sections) {
    const { path, seats, free, category } = section;
    const fill = free ? mix(fills[category], paper, 0.55 - (0.45 * free) / seats.length) : mix(line, paper, 0.4);
    pen.setTransform(r * view.scale, 0, 0, r * view.scale, r * view.x, r * view.y);
    pen.fillStyle = pen.strokeStyle = fill;
    pen.lineJoin = "round";
    pen.lineWidth = PADDING;
    pen.fill(path);
    pen.stroke(path);
    section.ink = free ? textOn(fill) : soft;
  }
  pen.setTransform(r, 0, 0, r, 0, 0);
  for (const section of map.sections) {
    pen.fillStyle = section.ink;
    paintText(pen, section, view, font);
  }
}

/**
 * Writes what fits of a name, a price and a number of free places around a middle.
 * @param {CanvasRenderingContext2D} pen
 * @param {{ name: string, price: string, free: number, x: number, y: number, width: number, height: number }} box of a
 *   section or an area, in seat widths
 * @param {any} view @param {string} font
 */
export function paintText(pen, box, { x, y, scale }, font) {
  const width = box.width * scale - 4,
    height = box.height * scale - 2;
  const [name, ...rest] = sectionParts(box);
  const one = rest.join(" · ");
  for (const lines of [[name, ...rest], [name, one], [`${name} · ${one}`], [one], rest, [String(box.free || "")]]) {
    pen.font = `700 ${LARGEST}px ${font}`;
    const widest = Math.max(...lines.map((text) => pen.measureText(text).width));
    const size = Math.min(LARGEST, (LARGEST * width) / widest, height / lines.length / LINE);
    if (size < SMALLEST) continue;
    lines.forEach((text, at) => {
      pen.font = `${at ? 400 : 700} ${size}px ${font}`;
      pen.fillText(text, x + box.x * scale, y + box.y * scale + (at - (lines.length - 1) / 2) * size * LINE);
    });
    return;
  }
}

/** Finds the section at a point of the hall. @param {CanvasRenderingContext2D} pen @param {any[]} sections @param {number} x @param {number} y */
export function sectionAt(pen, sections, x, y) {
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.lineWidth = PADDING;
  return sections.find(({ path }) => pen.isPointInPath(path, x, y) || pen.isPointInStroke(path, x, y));
}
