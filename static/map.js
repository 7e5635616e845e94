// @ts-check
// The seat map on a canvas: the sections of a hall from afar, their seats from near; what is seen of them, and chosen.
import { dark } from "./map-colours.js";
import { press } from "./map-keys.js";
import { MiniMap } from "./map-mini.js";
import { paint } from "./map-paint.js";
import { listen } from "./map-pointer.js";
import { countSections, sectionAt, sectionsOf } from "./map-sections.js";
import { shapesOf } from "./map-shapes.js";
import { AVAILABLE } from "./seat-states.js";

/** Room around a plan, and above one with a stage, in seat widths. */
const ROOM = 3,
  STAGE_ROOM = 4;
/** Scale from which on there are seats, in pixels of a seat's width: below, they are too small to tell apart and to tap. */
const SEATS_FROM = 8;
/** Scale of a section that was chosen, at least, and the largest of all. */
const SECTION_FROM = 14,
  LARGEST = 60;
/** Largest part of the map's box that is beyond an edge of the hall. */
const LOOSE = 0.35;
/** Distance in pixels within which a press is for a seat. */
const NEAR = 12;

export class SeatMap {
  /**
   * @param {HTMLCanvasElement} canvas @param {any} layout
   * @param {{
   *   onChoose: (seat: any) => void, onArea: (area: any) => void, onLevel: (isFar: boolean) => void,
   *   say: (text: string) => void, describe: (seat: any) => string, onPoint: (at: any, x: number, y: number) => void,
   * }} hooks
   * @param {HTMLCanvasElement} mini canvas of the mini-map
   */
  constructor(canvas, layout, hooks, mini) {
    this.canvas = canvas;
    this.hooks = hooks;
    this.layout = layout;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** @type {any[]} */ this.seats = [];
    /** @type {any[]} */ this.areas = [];
    /** @type {Set<string>} */ this.mine = new Set();
    /** Seats that stand out, as blocked ones do in the console. @type {Set<string>} */ this.marked = new Set();
    /** @type {any} */ this.cursor = null;
    /** Categories that are shown: all of them, or those of a filter. @type {Set<number> | null} */
    this.filter = null;
    this.queued = false;
    this.isCounted = false;
    /** @type {boolean | null} */ this.wasFar = null;
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
    this.sections = sectionsOf(layout, this.drawn);
    this.areaStops = this.areas.map((area) => ({ area, x: area.x + area.width / 2, y: area.y + area.height / 2 }));
    this.sectionStops = this.sections.map((section) => ({ section, x: section.x, y: section.y }));
    this.seatStops = [...this.drawn, ...this.areaStops];
    this.mini = new MiniMap(mini, this);
    listen(this);
    canvas.addEventListener("keydown", (event) => press(this, event));
    for (const type of ["focus", "blur"]) canvas.addEventListener(type, () => this.draw());
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
      const ends = [box * LOOSE, box * (1 - LOOSE) - length];
      return Math.max(Math.min(...ends), Math.min(Math.max(...ends), at));
    };
    if (this.scale > this.least) {
      this.x = keep(this.x, this.canvas.clientWidth, width * this.scale);
      this.y = keep(this.y, this.canvas.clientHeight, height * this.scale);
    }
    this.hooks.onPoint(null, 0, 0);
    this.canvas.style.touchAction = this.scale > this.least * 1.01 ? "none" : "pan-y";
    const isFar = this.isFar();
    if (isFar !== this.wasFar) {
      this.wasFar = isFar;
      this.hooks.onLevel(isFar);
      this.changeCursor(isFar);
    }
    this.draw();
  }

  /** Returns whether the map shows sections, and no seats. */
  isFar() {
    return this.scale < SEATS_FROM && this.sections.length > 0;
  }

  /** What the cursor may be at. */
  stops() {
    if (this.isFar()) return [...this.sectionStops, ...this.areaStops];
    return this.filter ? this.seatStops.filter((stop) => stop.area || this.isShown(stop)) : this.seatStops;
  }

  firstStop() {
    const stops = this.stops();
    return stops.find((stop) => stop.state === AVAILABLE) ?? stops[0];
  }

  /** Puts the cursor on what there is at another level. @param {boolean} isFar */
  changeCursor(isFar) {
    const { cursor } = this;
    if (!cursor || cursor.area) return;
    const has = (/** @type {any} */ stop) => stop.section.block === cursor.block;
    if (isFar) this.cursor = this.sectionStops.find(has) ?? null;
    else if (cursor.section) this.cursor = this.firstOf(cursor.section);
  }

  /** The first free seat of a section, or else its first. @param {any} section */
  firstOf(section) {
    const { seats } = section;
    return seats.find((/** @type {any} */ seat) => seat.state === AVAILABLE && this.isShown(seat)) ?? seats[0];
  }

  tellCursor() {
    this.hooks.say(this.hooks.describe(this.cursor));
  }

  /** Returns whether a filter lets a seat or an area be seen. @param {any} at */
  isShown(at) {
    return !this.filter || this.filter.has(at.category);
  }

  /** Shows the seats of some categories, or of all. @param {Set<number> | null} categories */
  show(categories) {
    this.filter = categories;
    this.changed();
  }

  /** Draws the map after the states of seats changed. */
  changed() {
    this.isCounted = false;
    this.draw();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.moved();
  }

  /** Moves a point of the hall to the middle of the map. @param {number} x @param {number} y */
  center(x, y) {
    this.x = this.canvas.clientWidth / 2 - x * this.scale;
    this.y = this.canvas.clientHeight / 2 - y * this.scale;
    this.moved();
  }

  /** Shows a section from near. @param {any} section */
  approach(section) {
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = [section.right - section.left + ROOM, section.bottom - section.top + ROOM];
    const whole = Math.min(clientWidth / width, clientHeight / height);
    this.scale = Math.min(LARGEST, Math.max(SECTION_FROM, whole));
    this.center((section.left + section.right) / 2, (section.top + section.bottom) / 2);
  }

  /** The point that zooming without a pointer is about: the cursor, or the section that is nearest to the middle. */
  middle() {
    const { clientWidth, clientHeight } = this.canvas;
    const [x, y] = [clientWidth / 2, clientHeight / 2];
    const to = (/** @type {any} */ stop) => [this.x + stop.x * this.scale, this.y + stop.y * this.scale];
    const isSeen = (/** @type {number[]} */ [px, py]) => px > 0 && py > 0 && px < clientWidth && py < clientHeight;
    if (this.cursor && isSeen(to(this.cursor))) return to(this.cursor);
    const away = (/** @type {number[]} */ [px, py]) => Math.hypot(px - x, py - y);
    const all = [...this.sectionStops, ...this.areaStops].map(to).filter(isSeen);
    return all.sort((one, other) => away(one) - away(other))[0] ?? [x, y];
  }

  /** @param {number} factor @param {number} [cx] @param {number} [cy] */
  zoom(factor, cx, cy) {
    if (cx === undefined || cy === undefined) [cx, cy] = this.middle();
    const next = Math.min(LARGEST, Math.max(this.least, this.scale * factor));
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

  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      if (!this.isCounted) countSections(this);
      this.isCounted = true;
      paint(this);
      this.mini.paint();
    });
  }

  /** What is at a point of the map: a seat, an area, or from afar a section. @param {number} px @param {number} py */
  at(px, py) {
    const s = this.scale,
      x = (px - this.x) / s,
      y = (py - this.y) / s;
    const area = this.areas.find((a) => x >= a.x && y >= a.y && x <= a.x + a.width && y <= a.y + a.height);
    if (area) return { area };
    if (this.isFar()) {
      const section = sectionAt(this.pen, this.sections, x, y);
      return section ? { section } : {};
    }
    let best = null,
      near = Math.max(0.6, NEAR / s);
    for (const seat of this.drawn) {
      const away = Math.hypot(seat.x - x, seat.y - y);
      if (away < near && this.isShown(seat)) {
        near = away;
        best = seat;
      }
    }
    return best ? { seat: best } : {};
  }

  /** Does what a press on a seat, an area or a section means. @param {any} hit */
  press(hit) {
    const seat = hit.id ? hit : hit.seat;
    if (hit.section) {
      this.cursor = this.firstOf(hit.section);
      this.approach(hit.section);
      this.tellCursor();
    } else if (hit.area && !seat) this.hooks.onArea(hit.area);
    else if (seat) {
      this.cursor = seat;
      this.hooks.onChoose(seat);
    }
  }

  /** Tells what is under the pointer. @param {PointerEvent | null} event */
  point(event) {
    if (!event) return this.hooks.onPoint(null, 0, 0);
    const hit = this.at(event.offsetX, event.offsetY);
    const found = hit.seat ?? (hit.area || hit.section ? hit : null);
    this.canvas.style.cursor = found ? "pointer" : "grab";
    this.hooks.onPoint(found, event.offsetX, event.offsetY);
  }
}
