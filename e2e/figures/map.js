// The map of 20,000 seats: when it is painted first, and its frames while it is moved.
import { launch, person } from "../browser.js";
import { Server } from "../server.js";
import { rounds, tell } from "./figure.js";

/** Time of a movement, in ms. */
const MOVED = 3000;
/** Clicks on + until seats are shown one by one. */
const NEAR = 6;

/** Frames a second of the page while the map is dragged about. */
async function framesWhileMoved(fan) {
  const box = await fan.locator("#map").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await fan.mouse.move(x, y);
  await fan.mouse.down();
  const counted = fan.evaluate((moved) => {
    const begin = performance.now();
    return new Promise((done) => {
      let frames = 0;
      const next = (/** @type {number} */ now) => {
        if (now >= begin + moved) return done((frames * 1000) / (now - begin));
        frames++;
        requestAnimationFrame(next);
      };
      requestAnimationFrame(next);
    });
  }, MOVED);
  let isOver = false;
  const over = () => (isOver = true);
  counted.then(over, over);
  for (let step = 0; !isOver; step++) {
    await fan.mouse.move(x + 150 * Math.sin(step / 15), y + 100 * Math.cos(step / 15));
    await new Promise((later) => setTimeout(later, 8));
  }
  await fan.mouse.up();
  return counted;
}

/** Notes when the map is painted first. */
function notePaint() {
  const pen = CanvasRenderingContext2D.prototype;
  const fill = pen.fill;
  pen.fill = function (...more) {
    globalThis.painted ??= performance.now();
    return fill.apply(this, more);
  };
}

const server = await Server.start();
await server.event("hall", { admission: { rate_per_minute: 6000, batch_seconds: 1, max_active: 100 } });
await server.call("PUT", "/api/v1/organiser/events/hall/seating", {
  categories: [{ id: "c", name: "Seats", price: 4500 }],
  sections: Array.from({ length: 10 }, (_, i) => ({
    id: `s${i}`,
    name: `Block ${i + 1}`,
    category: "c",
    rows: 20,
    seats_per_row: 100,
  })),
});
const browser = await launch();
const first = [],
  far = [],
  near = [];
for (let round = 0; round < rounds; round++) {
  const fan = await person(browser, { viewport: { width: 1280, height: 900 }, reducedMotion: "no-preference" });
  await fan.addInitScript(notePaint);
  await fan.goto(`${server.url}/e/hall`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  first.push(await (await fan.waitForFunction(() => globalThis.painted)).jsonValue());
  await fan.getByText("left to shop").waitFor();
  far.push(await framesWhileMoved(fan));
  for (let click = 0; click < NEAR; click++) await fan.getByRole("button", { name: "Zoom in" }).click();
  await fan.getByText("tap seats to choose them", { exact: false }).waitFor();
  near.push(await framesWhileMoved(fan));
  await fan.context().close();
}
await browser.close();
await server.end();
tell("ms until the map of 20,000 seats is painted first", first, 0);
tell("frames a second while the whole map is moved", far, 1);
tell("frames a second while its seats are moved, seen from near", near, 1);
