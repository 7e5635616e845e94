// @ts-check
// The seat map by keyboard: from seat to seat, from section to section, and between the two.

/** @type {Record<string, [number, number]>} */
const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** Factor of one press. */
const ZOOM = 1.3;
/** Least room between the cursor and the edge of the map, in pixels. */
const EDGE = 20;

/** Does what a key means. @param {any} map a `SeatMap` @param {KeyboardEvent} event */
export function press(map, event) {
  const way = ways[event.key];
  if (way) step(map, way);
  else if (event.key === "Enter" || event.key === " ") map.press(map.cursor ?? {});
  else if (event.key === "+") map.zoom(ZOOM);
  else if (event.key === "-") map.zoom(1 / ZOOM);
  else if (event.key === "Escape" && map.scale > map.least) map.fit();
  else return;
  event.preventDefault();
}

/** The stop that is nearest that way: a seat, a section or an area. @param {any} map @param {any} from @param {[number, number]} way */
function next(map, from, [dx, dy]) {
  let best = null,
    least = Infinity;
  for (const stop of map.stops()) {
    const along = (stop.x - from.x) * dx + (stop.y - from.y) * dy,
      aside = Math.abs((stop.x - from.x) * dy) + Math.abs((stop.y - from.y) * dx);
    if (along < 0.3) continue;
    const cost = along + aside * 3;
    if (cost < least) {
      least = cost;
      best = stop;
    }
  }
  return best;
}

/** @param {any} map @param {[number, number]} way */
function step(map, way) {
  const from = map.cursor;
  map.cursor = from ? (next(map, from, way) ?? from) : map.firstStop();
  if (map.cursor) {
    const px = map.x + map.cursor.x * map.scale,
      py = map.y + map.cursor.y * map.scale,
      within = (/** @type {number} */ at, /** @type {number} */ most) => Math.min(most - EDGE, Math.max(EDGE, at));
    map.pan(within(px, map.canvas.clientWidth) - px, within(py, map.canvas.clientHeight) - py);
    map.tellCursor();
  }
}
