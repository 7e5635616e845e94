// @ts-check
// The seat map on a canvas: thousands of seats, zoom, pan, keyboard, a card for the seat under the pointer.
import { dark } from "./map-colours.js";
import { AVAILABLE, paint } from "./map-paint.js";
import { shapesOf } from "./map-shapes.js";

/** Room around a plan, and above one with a stage, in seat widths. */
const ROOM = 3,
  STAGE_ROOM = 4;
/** Part of the map's box that must show something of the hall. */
const KEPT = 0.35;

export class SeatMap {
  /**
   * @param {HTMLCanvasElement} canvas @param {any} layout
   * @param {{
   *   onChoose: (seat: any) => void, onArea: (area: any) => void,
   *   say: (text: string) => void, describe: (seat: any) => string, onPoint: (at: any, x: number, y: number) => void,
   * }} hooks
   */
  constructor(canvas, layout, hooks) {
    this.canvas = canvas;
    this.hooks = hooks;
    this.layout = layout;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** @type {any[]} */ this.seats = [];
    /** @type {any[]} */ this.areas = [];
    /** @type {Set<string>} */ this.mine = new Set();
    /** @type {any} */ this.cursor = null;
    this.queued = false;
    this.x = this.y = 0;
    this.scale = this.least = 1;
    this.shapes = shapesOf(layout, this.pen);
    const reserved = new Set([...layout.accessible, ...(layout.companion ?? [])]);
    const at = new Map(layout.categories.map((/** @type {any} */ c, /** @type {number} */ i) => [c.id, i]));
    for (const block of layout.blocks) {
      if (block.kind === "area") {
        const area = { ...block, first: this.seats.length, category: at.get(block.category) };
        for (let n = 1; n <= block.capacity; n++)
          this.seats.push({
            id: `${block.id}-${n}`,
            index: this.seats.length,
            category: area.category,
            state: 0,
            area,
          });
        this.areas.push(area);
      } else
        for (const row of block.rows)
          for (const seat of row.seats) {
            this.seats.push({
              ...seat,
              index: this.seats.length,
              category: at.get(seat.category ?? row.category ?? block.category),
              state: 0,
              block,
              row,
              reserved: reserved.has(seat.id),
            });
          }
    }
    this.byId = new Map(this.seats.map((seat) => [seat.id, seat]));
    this.drawn = this.seats.filter((seat) => !seat.area);
    this.sections = layout.blocks.filter((/** @type {any} */ block) => block.kind !== "area").map(withBottom);
    /** Stops of the keyboard: seats, and areas as a whole. */
    this.stops = [
      ...this.drawn,
      ...this.areas.map((area) => ({ area, x: area.x + area.width / 2, y: area.y + area.height / 2 })),
    ];
    this.listen();
    new ResizeObserver(() => this.fit()).observe(canvas);
    dark.addEventListener("change", () => this.draw());
  }

  fit() {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    this.canvas.width = box.width * devicePixelRatio;
    this.canvas.height = box.height * devicePixelRatio;
    const { width, height } = this.layout.size;
    const above = this.layout.stage ? STAGE_ROOM : ROOM / 2;
    this.least = Math.min(box.width / (width + ROOM), box.height / (height + above + 2));
    this.scale = this.least;
    this.x = (box.width - width * this.scale) / 2;
    this.y = this.layout.stage ? above * this.scale : (box.height - height * this.scale) / 2;
    this.moved();
  }

  /** Keeps the hall in its box, and lets a finger scroll the page while all of it is shown. */
  moved() {
    const { width, height } = this.layout.size;
    const keep = (/** @type {number} */ at, /** @type {number} */ box, /** @type {number} */ length) => {
      const room = Math.min(box, length) * KEPT;
      return Math.min(box - room, Math.max(room - length, at));
    };
    this.x = keep(this.x, this.canvas.clientWidth, width * this.scale);
    this.y = keep(this.y, this.canvas.clientHeight, height * this.scale);
    this.hooks.onPoint(null, 0, 0);
    this.canvas.style.touchAction = this.scale > this.least * 1.01 ? "none" : "pan-y";
    this.draw();
  }

  /** @param {number} factor @param {number} [cx] @param {number} [cy] */
  zoom(factor, cx = this.canvas.clientWidth / 2, cy = this.canvas.clientHeight / 2) {
    const next = Math.min(60, Math.max(this.least, this.scale * factor));
    const real = next / this.scale;
    this.x = cx - (cx - this.x) * real;
    this.y = cy - (cy - this.y) * real;
    this.scale = next;
    if (next === this.least) this.fit();
    else this.moved();
  }

  /** Number of free places of an area. @param {any} area */
  free(area) {
    let free = 0;
    for (let i = area.first; i < area.first + area.capacity; i++) if (this.seats[i].state === AVAILABLE) free++;
    return free;
  }

  /** @param {number} index @param {number} state */
  set(index, state) {
    this.seats[index].state = state;
    this.draw();
  }

  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      paint(this);
    });
  }

  /** @param {number} px @param {number} py */
  at(px, py) {
    const s = this.scale,
      x = (px - this.x) / s,
      y = (py - this.y) / s;
    const area = this.areas.find((a) => x >= a.x && y >= a.y && x <= a.x + a.width && y <= a.y + a.height);
    if (area) return { area };
    let best = null,
      near = Math.max(0.6, 12 / s);
    for (const seat of this.drawn) {
      const away = Math.hypot(seat.x - x, seat.y - y);
      if (away < near) {
        near = away;
        best = seat;
      }
    }
    return best ? { seat: best } : {};
  }

  listen() {
    const { canvas } = this;
    /** @type {Map<number, PointerEvent>} */ const fingers = new Map();
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      moved = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return this.point(event);
      if (fingers.size === 2) {
        const other = [...fingers.values()].find((f) => f.pointerId !== event.pointerId);
        if (other) {
          const gap = (/** @type {PointerEvent} */ f) =>
            Math.hypot(f.offsetX - other.offsetX, f.offsetY - other.offsetY);
          this.zoom(
            gap(event) / Math.max(1, gap(before)),
            (event.offsetX + other.offsetX) / 2,
            (event.offsetY + other.offsetY) / 2,
          );
        }
        moved = 99;
      } else {
        const dx = event.offsetX - before.offsetX,
          dy = event.offsetY - before.offsetY;
        moved += Math.abs(dx) + Math.abs(dy);
        if (moved > 6) {
          this.x += dx;
          this.y += dy;
          this.moved();
        }
      }
      fingers.set(event.pointerId, event);
    });
    const up = (/** @type {PointerEvent} */ event) => {
      if (fingers.delete(event.pointerId) && moved <= 6 && event.type === "pointerup") {
        const hit = this.at(event.offsetX, event.offsetY);
        if (hit.seat) {
          this.cursor = hit.seat;
          this.hooks.onChoose(hit.seat);
        } else if (hit.area) this.hooks.onArea(hit.area);
        this.point(event);
      } else if (moved > 6) this.hooks.onPoint(null, 0, 0);
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.hooks.onPoint(null, 0, 0);
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        // A wheel without Ctrl scrolls the page; touchpads send their pinches with it.
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.draw());
    canvas.addEventListener("blur", () => this.draw());
  }

  /** Tells what is under the pointer. @param {PointerEvent} event */
  point(event) {
    const hit = this.at(event.offsetX, event.offsetY);
    const found = hit.seat ?? (hit.area && { area: hit.area });
    this.canvas.style.cursor = found ? "pointer" : "grab";
    this.hooks.onPoint(found, event.offsetX, event.offsetY);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way) this.step(way);
    else if (event.key === "Enter" || event.key === " ") {
      if (this.cursor?.area) this.hooks.onArea(this.cursor.area);
      else if (this.cursor) this.hooks.onChoose(this.cursor);
    } else if (event.key === "+") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else return;
    event.preventDefault();
  }

  /** To the nearest seat or area that way. @param {[number, number]} way */
  step([dx, dy]) {
    const from = this.cursor;
    if (!from) this.cursor = this.drawn.find((seat) => seat.state === AVAILABLE) ?? this.stops[0];
    else {
      let best = null,
        least = Infinity;
      for (const seat of this.stops) {
        const along = (seat.x - from.x) * dx + (seat.y - from.y) * dy,
          aside = Math.abs((seat.x - from.x) * dy) + Math.abs((seat.y - from.y) * dx);
        if (along < 0.3) continue;
        const cost = along + aside * 3;
        if (cost < least) {
          least = cost;
          best = seat;
        }
      }
      if (best) this.cursor = best;
    }
    if (this.cursor) {
      const px = this.x + this.cursor.x * this.scale,
        py = this.y + this.cursor.y * this.scale,
        within = (/** @type {number} */ at, /** @type {number} */ most) => Math.min(most - 20, Math.max(20, at));
      this.x += within(px, this.canvas.clientWidth) - px;
      this.y += within(py, this.canvas.clientHeight) - py;
      this.moved();
      this.hooks.say(this.hooks.describe(this.cursor));
    }
    this.draw();
  }
}

/** A section with its lower edge. @param {any} block */
function withBottom(block) {
  const seats = block.rows.flatMap((/** @type {any} */ row) => row.seats);
  const bottom = seats.reduce((/** @type {number} */ most, /** @type {any} */ seat) => Math.max(most, seat.y), block.y);
  return { ...block, bottom };
}
