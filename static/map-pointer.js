// @ts-check
// Fingers, mouse and wheel on the seat map.

/** Distance from which on a press is a drag, and farthest distance of two taps that are one double tap, in pixels. */
const DRAG_FROM = 6,
  TAPS_APART = 30;
/** Longest time between the two taps of a double tap, in ms. */
const DOUBLE_MS = 350;
/** Factor of a double tap, and of one step of the wheel. */
const DOUBLE_ZOOM = 2,
  WHEEL_ZOOM = 1.15;

/** Lets a map be moved, zoomed and pressed. @param {any} map a `SeatMap` */
export function listen(map) {
  const { canvas } = map;
  /** @type {Map<number, PointerEvent>} */ const fingers = new Map();
  /** @type {{ at: number, x: number, y: number, isUsed: boolean }} */
  let tapped = { at: -Infinity, x: 0, y: 0, isUsed: false };
  let moved = 0;
  /** @param {PointerEvent} event */
  const tap = (event) => {
    const { offsetX: x, offsetY: y, timeStamp: at } = event;
    const isDouble = at - tapped.at < DOUBLE_MS && Math.hypot(x - tapped.x, y - tapped.y) < TAPS_APART;
    // The second tap on a section that came nearer with the first is meant for no seat.
    if (isDouble && tapped.isUsed) return;
    const hit = map.at(x, y);
    const isEmpty = !hit.seat && !hit.area && !hit.section;
    tapped = { at, x, y, isUsed: Boolean(hit.section) };
    if (isEmpty && isDouble) map.zoom(DOUBLE_ZOOM, x, y);
    else map.press(hit);
  };
  canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    fingers.set(event.pointerId, event);
    moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return map.point(event);
    fingers.set(event.pointerId, event);
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const gap = (/** @type {PointerEvent} */ f) => Math.hypot(f.offsetX - other.offsetX, f.offsetY - other.offsetY);
      const middle = [(event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2];
      map.zoom(gap(event) / Math.max(1, gap(before)), ...middle);
      moved = Infinity;
      return;
    }
    const [dx, dy] = [event.offsetX - before.offsetX, event.offsetY - before.offsetY];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > DRAG_FROM) map.pan(dx, dy);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    if (fingers.delete(event.pointerId) && moved <= DRAG_FROM && event.type === "pointerup") {
      tap(event);
      map.point(event);
    } else if (moved > DRAG_FROM) map.point(null);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", (/** @type {PointerEvent} */ event) => {
    if (event.pointerType === "mouse") map.point(null);
  });
  canvas.addEventListener(
    "wheel",
    (/** @type {WheelEvent} */ event) => {
      // A wheel without Ctrl scrolls the page; touchpads send their pinches with it.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      map.zoom(event.deltaY < 0 ? WHEEL_ZOOM : 1 / WHEEL_ZOOM, event.offsetX, event.offsetY);
    },
    { passive: false },
  );
}
