// @ts-check
// Shapes that a plan draws beside its seats: stages, tables, outlines, texts.
import { dark, mix, visible } from "./map-colours.js";

/** Number of shapes before a text that it may stand on. */
const BELOW_MAX = 200;

/** @param {any} shape @returns {Path2D} in seat widths of the map */
function outline(shape) {
  const path = new Path2D();
  if (shape.rectangle) path.rect(0, 0, shape.rectangle[0], shape.rectangle[1]);
  else if (shape.ellipse) path.ellipse(0, 0, shape.ellipse[0], shape.ellipse[1], 0, 0, 7);
  else if (shape.polygon?.length) {
    for (const [x, y] of shape.polygon) path.lineTo(x, y);
    path.closePath();
  }
  const whole = new Path2D();
  whole.addPath(path, new DOMMatrix().translate(shape.x, shape.y).rotate(shape.rotation ?? 0));
  return whole;
}

/** The shapes of a layout, ready to be painted. @param {any} layout @param {CanvasRenderingContext2D} pen */
export function shapesOf(layout, pen) {
  const shapes = (layout.shapes ?? []).map((/** @type {any} */ shape) => ({ ...shape, path: outline(shape) }));
  pen.setTransform(1, 0, 0, 1, 0, 0);
  shapes.forEach((/** @type {any} */ shape, /** @type {number} */ at) => {
    if (!shape.text) return;
    const angle = ((shape.rotation ?? 0) * Math.PI) / 180,
      { x, y } = shape.text;
    shape.textX = shape.x + x * Math.cos(angle) - y * Math.sin(angle);
    shape.textY = shape.y + x * Math.sin(angle) + y * Math.cos(angle);
    const below = shapes.slice(Math.max(0, at - BELOW_MAX), at + 1).reverse();
    const isUnder = (/** @type {any} */ other) => other.fill && pen.isPointInPath(other.path, shape.textX, shape.textY);
    shape.on = below.find(isUnder)?.fill;
  });
  return shapes;
}

/**
 * Paints shapes where the map is.
 * @param {CanvasRenderingContext2D} pen @param {any[]} shapes
 * @param {{ x: number, y: number, scale: number }} view @param {any} colours those of the page
 */
export function paintShapes(pen, shapes, view, colours) {
  // On a dark page large light shapes would outshine the seats.
  const dim = (/** @type {string} */ fill) => (dark.matches ? mix(fill, colours.paper, 0.5) : fill);
  const r = devicePixelRatio;
  for (const shape of shapes) {
    pen.setTransform(r * view.scale, 0, 0, r * view.scale, r * view.x, r * view.y);
    if (shape.fill) {
      pen.fillStyle = dim(shape.fill);
      pen.fill(shape.path);
    }
    if (shape.border || !shape.fill) {
      pen.strokeStyle = shape.border ?? colours.line;
      pen.lineWidth = 1.5 / view.scale;
      pen.stroke(shape.path);
    }
    pen.setTransform(r, 0, 0, r, 0, 0);
    if (shape.text) paintText(pen, shape, view, colours, shape.on ? dim(shape.on) : colours.paper);
  }
}

/** @param {CanvasRenderingContext2D} pen @param {any} shape @param {any} view @param {any} colours @param {string} paper */
function paintText(pen, shape, view, colours, paper) {
  const { text, size, color } = shape.text;
  const pixels = size * view.scale;
  if (pixels < 5) return;
  pen.save();
  pen.translate(view.x + shape.textX * view.scale, view.y + shape.textY * view.scale);
  pen.rotate(((shape.rotation ?? 0) * Math.PI) / 180);
  pen.font = `600 ${pixels}px ${colours.font}`;
  pen.textAlign = "center";
  const light = visible(colours.ink, paper, "#fff");
  pen.fillStyle = visible(color ?? colours.ink, paper, visible(light, paper, "#000"));
  pen.fillText(text, 0, 0);
  pen.restore();
}
