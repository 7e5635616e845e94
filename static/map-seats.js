// @ts-check
// Paints seats. Each kind of them is drawn once, and copied to its places.
import { textOn } from "./map-colours.js";
import { AVAILABLE, HELD } from "./seat-states.js";

/** Scale from which on seats have their numbers, in pixels of a seat's width. */
const NUMBERS_FROM = 16;
/** Largest number of pictures that are kept: a few for each zoom. */
const PICTURES_MAX = 200;
/** Opacity of seats that a filter leaves out. */
const FILTERED_ALPHA = 0.15;
/** Radius of a seat, and its largest, in seat widths. */
const RADIUS = 0.42,
  RADIUS_MAX = 0.5;

/** @type {Map<string, HTMLCanvasElement>} */ const pictures = new Map();

/**
 * The picture of a seat. @param {"square" | "disc" | "ring" | "dot"} kind @param {string} fill
 * @param {string} edge colour of its edge @param {number} r its radius in pixels @param {number} line width of its edge
 */
function picture(kind, fill, edge, r, line) {
  const name = `${kind} ${fill} ${edge} ${r.toFixed(2)} ${devicePixelRatio}`;
  const known = pictures.get(name);
  if (known) return known;
  if (pictures.size >= PICTURES_MAX) pictures.clear();
  const canvas = document.createElement("canvas"),
    pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  canvas.width = canvas.height = 2 * Math.ceil((r + line) * devicePixelRatio + 1);
  pen.translate(canvas.width / 2, canvas.height / 2);
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.fillStyle = fill;
  pen.strokeStyle = edge;
  pen.lineWidth = line;
  pen.beginPath();
  if (kind === "square") pen.roundRect(-r, -r, r * 2, r * 2, r * 0.35);
  else pen.arc(0, 0, r, 0, 7);
  if (kind !== "ring") pen.fill();
  if (edge !== fill) pen.stroke();
  pictures.set(name, canvas);
  return canvas;
}

/** @param {any} seat @param {boolean} isMine @param {boolean} isMarked @param {number} s scale @param {any} colours */
function pictureOf(seat, isMine, isMarked, s, { fills, edges, ink, soft, line }) {
  const r = s * Math.min(RADIUS_MAX, seat.radius ?? RADIUS),
    thin = Math.max(0.7, s * 0.08);
  if (isMine) return picture(seat.reserved ? "square" : "disc", ink, ink, r * 1.15, thin);
  if (isMarked) return picture("square", line, ink, r * 0.8, thin);
  const { category } = seat;
  if (seat.state === AVAILABLE)
    return picture(seat.reserved ? "square" : "disc", fills[category], edges[category], r, thin);
  if (seat.state === HELD) return picture("ring", "", soft, r * 0.75, thin);
  return picture("dot", line, line, r * 0.75, thin);
}

/**
 * Paints the seats that are in view, and returns the outermost ones of each row.
 * @param {CanvasRenderingContext2D} pen @param {any} map @param {any} view @param {any} colours
 */
export function paintSeats(pen, map, { x: ox, y: oy, scale: s }, colours) {
  const { w, h, fills, paper, font } = colours;
  const inks = fills.map(textOn);
  /** @type {Map<any, { left: any, right: any }>} */ const ends = new Map();
  for (const section of map.sections) {
    if (ox + (section.right + 1) * s < 0 || ox + (section.left - 1) * s > w) continue;
    if (oy + (section.bottom + 1) * s < 0 || oy + (section.top - 1) * s > h) continue;
    for (const seat of section.seats) {
      const x = ox + seat.x * s,
        y = oy + seat.y * s;
      if (x < -s || y < -s || x > w + s || y > h + s) continue;
      const known = ends.get(seat.row);
      if (!known) ends.set(seat.row, { left: { x, y }, right: { x, y } });
      else if (x < known.left.x) known.left = { x, y };
      else if (x > known.right.x) known.right = { x, y };
      const isMine = map.mine.has(seat.id),
        drawn = pictureOf(seat, isMine, map.marked.has(seat.id), s, colours),
        side = drawn.width / devicePixelRatio;
      pen.globalAlpha = isMine || map.isShown(seat) ? 1 : FILTERED_ALPHA;
      pen.drawImage(drawn, x - side / 2, y - side / 2, side, side);
      if (s > NUMBERS_FROM && (isMine || seat.state === AVAILABLE)) {
        const r = s * Math.min(RADIUS_MAX, seat.radius ?? RADIUS);
        pen.fillStyle = isMine ? paper : inks[seat.category];
        pen.font = `600 ${Math.min(s * 0.4, (r * 2.6) / Math.max(2, seat.label.length))}px ${font}`;
        pen.fillText(seat.label, x, y);
      }
    }
  }
  pen.globalAlpha = 1;
  return ends;
}
