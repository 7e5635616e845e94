// @ts-check
// The mini-map: the whole hall, and the part of it that the map shows.
import { hue, mix, page } from "./map-colours.js";

/** Scale of the map, as a part of the whole hall's, from which on the mini-map is shown. */
const SHOWN_FROM = 1.3;
/** Longest side, in pixels. */
const SIDE = 120;

export class MiniMap {
  /** @param {HTMLCanvasElement} canvas @param {any} map a `SeatMap` */
  constructor(canvas, map) {
    this.canvas = canvas;
    this.map = map;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const { width, height } = map.layout.size;
    this.scale = SIDE / Math.max(width + 2, height + 2);
    for (const type of ["pointerdown", "pointermove"])
      canvas.addEventListener(type, (event) => this.look(/** @type {PointerEvent} */ (event)));
  }

  /** Moves the map to where it is pressed. @param {PointerEvent} event */
  look(event) {
    event.preventDefault();
    if (!(event.buttons & 1)) return;
    const { map, scale } = this;
    map.center(event.offsetX / scale - 1, event.offsetY / scale - 1);
  }

  paint() {
    const { canvas, map, pen, scale } = this,
      { layout } = map;
    canvas.hidden = map.scale < map.least * SHOWN_FROM;
    if (canvas.hidden) return;
    const r = devicePixelRatio,
      [width, height] = [(layout.size.width + 2) * scale, (layout.size.height + 2) * scale];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    // Also empties it.
    canvas.width = width * r;
    canvas.height = height * r;
    const { paper, ink } = page();
    const at = r * scale;
    pen.setTransform(at, 0, 0, at, at, at);
    pen.lineJoin = "round";
    pen.lineWidth = 1;
    for (const { path, category } of map.sections) {
      pen.fillStyle = pen.strokeStyle = mix(hue(layout, category), paper, 0.45);
      pen.fill(path);
      pen.stroke(path);
    }
    for (const area of map.areas) {
      pen.fillStyle = mix(hue(layout, area.category), paper, 0.45);
      pen.fillRect(area.x, area.y, area.width, area.height);
    }
    const seen = [-map.x, -map.y, map.canvas.clientWidth, map.canvas.clientHeight].map((it) => it / map.scale);
    pen.strokeStyle = ink;
    pen.lineWidth = 2 / scale;
    pen.strokeRect(seen[0], seen[1], seen[2], seen[3]);
  }
}
