// @ts-check
// The seat map on a canvas: thousands of seats, zoom, pan, keyboard.

const hues = [
  ["#5a35c8", "#b39bff"],
  ["#b0551a", "#ffb066"],
  ["#0d7a6a", "#5fd6c0"],
  ["#a82c66", "#ff8fc0"],
  ["#31688e", "#7cc0ea"],
  ["#6b7a10", "#cbd95f"],
];
const dark = matchMedia("(prefers-color-scheme: dark)");
/** @param {number} category */
export const hue = (category) => hues[category % hues.length][dark.matches ? 1 : 0];

export const AVAILABLE = 0,
  HELD = 1;

export class SeatMap {
  /**
   * @param {HTMLCanvasElement} canvas @param {any} layout
   * @param {{
   *   onChoose: (seat: any) => void, onArea: (area: any) => void,
   *   say: (text: string) => void, describe: (seat: any) => string,
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
            });
          }
    }
    this.byId = new Map(this.seats.map((seat) => [seat.id, seat]));
    this.drawn = this.seats.filter((seat) => !seat.area);
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
    this.least = Math.min(box.width / (width + 3), box.height / (height + 6));
    this.scale = this.least;
    this.x = (box.width - width * this.scale) / 2;
    this.y = 4 * this.scale;
    this.draw();
  }

  /** @param {number} factor @param {number} [cx] @param {number} [cy] */
  zoom(factor, cx = this.canvas.clientWidth / 2, cy = this.canvas.clientHeight / 2) {
    const next = Math.min(60, Math.max(this.least ?? 1, (this.scale ?? 1) * factor));
    const real = next / (this.scale ?? 1);
    this.x = cx - (cx - (this.x ?? 0)) * real;
    this.y = cy - (cy - (this.y ?? 0)) * real;
    this.scale = next;
    this.draw();
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
      this.paint();
    });
  }

  paint() {
    const { pen } = this,
      s = this.scale ?? 1,
      ox = this.x ?? 0,
      oy = this.y ?? 0;
    const style = getComputedStyle(document.documentElement),
      colour = (/** @type {string} */ n) => style.getPropertyValue(n).trim();
    const ink = colour("--ink"),
      soft = colour("--soft"),
      line = colour("--line"),
      glow = colour("--glow");
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    const w = this.canvas.clientWidth,
      h = this.canvas.clientHeight;
    pen.clearRect(0, 0, w, h);
    const font = colour("--font");
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const middle = ox + (this.layout.size.width / 2) * s,
      stage = Math.min(this.layout.size.width * 0.4, 26) * s;
    pen.fillStyle = glow;
    pen.beginPath();
    pen.roundRect(middle - stage / 2, oy - 3.2 * s, stage, 2 * s, s * 0.6);
    pen.fill();
    pen.fillStyle = soft;
    pen.font = `600 ${Math.max(9, s * 0.9)}px ${font}`;
    pen.fillText("STAGE", middle, oy - 2.2 * s);
    for (const area of this.areas) {
      let free = 0;
      for (let i = area.first; i < area.first + area.capacity; i++) if (this.seats[i].state === AVAILABLE) free++;
      pen.fillStyle = hue(area.category);
      pen.globalAlpha = 0.16 + (0.5 * free) / area.capacity;
      pen.beginPath();
      pen.roundRect(ox + area.x * s, oy + area.y * s, area.width * s, area.height * s, s * 0.6);
      pen.fill();
      pen.globalAlpha = 1;
      pen.fillStyle = ink;
      pen.font = `600 ${Math.max(10, s * 1.1)}px ${font}`;
      pen.fillText(
        `${area.name} · ${free} free`,
        ox + (area.x + area.width / 2) * s,
        oy + (area.y + area.height / 2) * s,
      );
    }
    const r = s * 0.42;
    pen.font = `600 ${Math.max(9, s * 0.85)}px ${font}`;
    pen.fillStyle = soft;
    pen.textAlign = "left";
    for (const block of this.layout.blocks)
      if (block.kind !== "area") pen.fillText(block.name, ox + block.x * s, oy + (block.y + 0.1) * s);
    pen.textAlign = "center";
    for (const seat of this.drawn) {
      const x = ox + seat.x * s,
        y = oy + seat.y * s;
      if (x < -s || y < -s || x > w + s || y > h + s) continue;
      const mine = this.mine.has(seat.id);
      pen.beginPath();
      if (mine) {
        pen.fillStyle = ink;
        pen.arc(x, y, r * 1.15, 0, 7);
        pen.fill();
      } else if (seat.state === AVAILABLE) {
        pen.fillStyle = hue(seat.category);
        pen.arc(x, y, r, 0, 7);
        pen.fill();
      } else if (seat.state === HELD) {
        pen.strokeStyle = soft;
        pen.lineWidth = Math.max(0.7, s * 0.1);
        pen.arc(x, y, r * 0.75, 0, 7);
        pen.stroke();
      } else {
        pen.fillStyle = line;
        pen.arc(x, y, r * 0.6, 0, 7);
        pen.fill();
      }
      if (s > 16 && (mine || seat.state === AVAILABLE)) {
        pen.fillStyle = mine ? colour("--paper") : dark.matches ? "#17102e" : "#fff";
        pen.font = `600 ${s * 0.4}px ${font}`;
        pen.fillText(seat.label ?? seat.id.split("-").pop(), x, y);
      }
    }
    if (this.cursor && document.activeElement === this.canvas) {
      pen.strokeStyle = ink;
      pen.lineWidth = 2.5;
      pen.beginPath();
      pen.arc(ox + this.cursor.x * s, oy + this.cursor.y * s, Math.max(7, r * 1.6), 0, 7);
      pen.stroke();
    }
  }

  /** @param {number} px @param {number} py */
  at(px, py) {
    const s = this.scale ?? 1,
      x = (px - (this.x ?? 0)) / s,
      y = (py - (this.y ?? 0)) / s;
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
      if (!before) return;
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
          this.x = (this.x ?? 0) + dx;
          this.y = (this.y ?? 0) + dy;
          this.draw();
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
      }
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.draw());
    canvas.addEventListener("blur", () => this.draw());
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way) this.step(way);
    else if (event.key === "Enter" || event.key === " ") {
      if (this.cursor) this.hooks.onChoose(this.cursor);
    } else if (event.key === "+") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else return;
    event.preventDefault();
  }

  /** To the nearest seat that way. @param {[number, number]} way */
  step([dx, dy]) {
    const from = this.cursor;
    if (!from) this.cursor = this.drawn.find((seat) => seat.state === AVAILABLE) ?? this.drawn[0];
    else {
      let best = null,
        least = Infinity;
      for (const seat of this.drawn) {
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
      const s = this.scale ?? 1,
        px = (this.x ?? 0) + this.cursor.x * s,
        py = (this.y ?? 0) + this.cursor.y * s;
      if (px < 20) this.x = (this.x ?? 0) + 20 - px;
      if (py < 20) this.y = (this.y ?? 0) + 20 - py;
      if (px > this.canvas.clientWidth - 20) this.x = (this.x ?? 0) - (px - this.canvas.clientWidth + 20);
      if (py > this.canvas.clientHeight - 20) this.y = (this.y ?? 0) - (py - this.canvas.clientHeight + 20);
      this.hooks.say(this.hooks.describe(this.cursor));
    }
    this.draw();
  }
}
