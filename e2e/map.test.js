// The seat map: sections from afar, seats from near, its filter, its mini-map, and how it is moved.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound, until } from "./browser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  await server.event("hall", quick);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const quick = { admission: { rate_per_minute: 6000, batch_seconds: 1, max_active: 100 } };
const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const screen = { viewport: { width: 1280, height: 900 } };

/** A fan at the seats, whose map notes the texts of its newest picture. */
async function shopper(options, event = "hall") {
  const fan = await person(browser, options);
  await fan.addInitScript(() => {
    const pen = CanvasRenderingContext2D.prototype;
    const [clear, write] = [pen.clearRect, pen.fillText];
    globalThis.texts = [];
    pen.clearRect = function (...box) {
      globalThis.texts = [];
      return clear.apply(this, box);
    };
    pen.fillText = function (text, x, y) {
      globalThis.texts.push({ text, x, y, size: Number(this.font.match(/([\d.]+)px/)[1]) });
      return write.call(this, text, x, y);
    };
  });
  await fan.goto(`${server.url}/e/${event}`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  return fan;
}

/** Waits until the newest picture has such a text, and returns all of them. */
async function texts(fan, text) {
  await fan.waitForFunction((text) => globalThis.texts.some((one) => one.text === text), text);
  return fan.evaluate(() => globalThis.texts);
}

/** Where a text of the newest picture is. */
const place = async (fan, text) => (await texts(fan, text)).find((one) => one.text === text);

test("from afar a section is one shape with its price and its free seats, and a tap brings its seats near", async () => {
  const fan = await shopper(phone);
  const far = (await texts(fan, "Stalls")).map(({ text }) => text);
  for (const text of ["Stalls", "€65.00", "612 free", "Circle", "€48.00", "360 free", "Standing floor", "500 free"])
    assert.ok(far.includes(text), `${text} is not among ${far}`);
  assert.ok(!far.includes("A"), "no rows from afar");
  await fan.getByText("tap a section to see its seats", { exact: false }).waitFor();
  assert.equal(await fan.locator("#map-mini").isVisible(), false, "no mini-map of what is seen whole");
  await shoot(fan, "map-far-phone");
  const { x, y } = await place(fan, "Stalls");
  await fan.locator("#map").tap({ position: { x, y } });
  await fan.getByText("tap seats to choose them", { exact: false }).waitFor();
  await fan.locator("#map-mini").waitFor();
  await accessible(fan, "the map from near");
  await shoot(fan, "map-near-phone");
  // Seats that are gone are not counted.
  await server.call("POST", "/api/v1/organiser/events/hall/seats/block", { seats: ["st-A-1", "st-A-2"] });
  await fan.getByRole("button", { name: "Whole hall" }).click();
  await texts(fan, "610 free");
  await server.call("POST", "/api/v1/organiser/events/hall/seats/unblock", { seats: ["st-A-1", "st-A-2"] });
  await texts(fan, "612 free");
  sound(fan);
});

test("by keyboard one goes from section to section, into one, from seat to seat, and out again", async () => {
  const fan = await shopper(phone);
  const said = (text) => fan.locator("#live").getByText(text).waitFor({ state: "attached" });
  await fan.locator("#map").focus();
  await fan.keyboard.press("ArrowDown");
  await said("Stalls, €65.00, 612 free");
  await fan.keyboard.press("ArrowDown");
  await said("Circle, €48.00, 360 free");
  await fan.keyboard.press("Enter");
  await said("Circle, row A, seat 1, Circle, €48.00, available");
  await fan.keyboard.press("ArrowRight");
  await said("Circle, row A, seat 2, Circle, €48.00, available");
  await fan.keyboard.press("Enter");
  await fan.locator("#bottom").getByText("1 seat · €48.00").waitFor();
  await fan.keyboard.press("Escape");
  await texts(fan, "360 free");
  await fan.keyboard.press("ArrowUp");
  await said("Stalls, €65.00, 612 free");
  await fan.keyboard.press("ArrowUp");
  await said("Standing floor, Standing, €39.00, 500 free");
  sound(fan);
});

test("rows have their letters at both ends, none over another", async () => {
  const fan = await shopper(screen);
  const all = await texts(fan, "A");
  const rows = all.filter(({ text }) => /^[A-R]$/.test(text));
  for (const letter of "ABCDEFGHI")
    assert.equal(rows.filter(({ text }) => text === letter).length, 4, `${letter} at both ends in both sections`);
  for (const one of rows)
    for (const other of rows)
      if (one !== other)
        assert.ok(Math.hypot(one.x - other.x, one.y - other.y) >= 8, `${one.text} is over ${other.text}`);
  sound(fan);
});

test("a press on prices leaves only their seats, on the map and in the list", async () => {
  const fan = await shopper(screen);
  const { x, y } = await place(fan, "A");
  const seat = { x: x + 14, y };
  await fan.locator("#map").hover({ position: seat });
  await fan.locator("#map-card").getByText("Stalls, row A, seat 1").waitFor();
  await fan.locator("#map-card").getByText("€65.00").waitFor();
  const chip = fan.getByRole("button", { name: "Circle €48.00" });
  await chip.click();
  assert.equal(await chip.getAttribute("aria-pressed"), "true");
  await fan.locator("#map").hover({ position: { x: seat.x + 1, y } });
  await fan.locator("#map-card").waitFor({ state: "hidden" });
  await accessible(fan, "a filter");
  await shoot(fan, "map-filter");
  await fan.getByRole("button", { name: "As a list" }).click();
  for (const name of ["Stalls", "Circle"]) await fan.locator("#list summary").filter({ hasText: name }).click();
  await fan.locator('#list [data-seat="ci-A-1"]').waitFor();
  assert.equal(await fan.locator('#list [data-seat="st-A-1"]').isVisible(), false);
  await chip.click();
  await fan.locator('#list [data-seat="st-A-1"]').waitFor();
  sound(fan);
});

test("the wheel and a double tap zoom about the pointer, and a press on the mini-map goes there", async () => {
  const fan = await shopper(screen);
  const box = await fan.locator("#map").boundingBox();
  const { x, y } = await place(fan, "A");
  await fan.mouse.move(box.x + x + 14, box.y + y);
  const card = fan.locator("#map-card").getByText("Stalls, row A, seat 1");
  await card.waitFor();
  await fan.keyboard.down("Control");
  for (let i = 0; i < 6; i++) await fan.mouse.wheel(0, -100);
  await fan.keyboard.up("Control");
  await fan.locator("#map-mini").waitFor();
  // Each turn of the wheel hides the card, and the last may come after the mini-map.
  let tries = 0;
  await until(async () => {
    await fan.mouse.move(box.x + x + 14 + (tries++ % 2), box.y + y);
    return card.isVisible();
  });
  await shoot(fan, "map-zoomed");
  // The other end of the hall.
  const mini = await fan.locator("#map-mini").boundingBox();
  await fan.locator("#map-mini").click({ position: { x: mini.width / 2, y: mini.height - 4 } });
  await texts(fan, "Circle");
  await fan.waitForFunction(() => !globalThis.texts.some(({ text }) => text === "Stalls"));

  await fan.getByRole("button", { name: "Whole hall" }).click();
  await fan.locator("#map-mini").waitFor({ state: "hidden" });
  await fan.mouse.dblclick(box.x + 30, box.y + 30);
  await fan.locator("#map-mini").waitFor();
  assert.equal(await fan.locator("#chosen li").count(), 0, "nothing was chosen");
  sound(fan);
});

test("a double tap on a section chooses no seat of it", async () => {
  const fan = await shopper(phone);
  const { x, y } = await place(fan, "Stalls");
  const box = await fan.locator("#map").boundingBox();
  for (let taps = 0; taps < 2; taps++) await fan.touchscreen.tap(box.x + x, box.y + y);
  await fan.locator("#map-mini").waitFor();
  assert.equal(await fan.locator("#chosen li").count(), 0);
  sound(fan);
});

test("in forced colours the key of the map keeps its colours", async () => {
  const fan = await shopper({ ...screen, forcedColors: "active" });
  const colours = await fan.evaluate(() =>
    [...document.querySelectorAll("#legend .chip .swatch")].map((swatch) => getComputedStyle(swatch).backgroundColor),
  );
  assert.equal(new Set(colours).size, 3, `${colours}`);
  const dot = await fan.evaluate(() => getComputedStyle(document.querySelector(".brand"), "::before").backgroundColor);
  const paper = await fan.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.notEqual(dot, paper);
  sound(fan);
});

test("from right to left the clock and the dots of the key are on the other side", async () => {
  const fan = await shopper(screen);
  await fan.evaluate(() => {
    document.documentElement.dir = "rtl";
  });
  const [clock, dot, chip] = await fan.evaluate(() =>
    ["#clock", "#legend .swatch", "#legend .chip"].map((name) => {
      const { left, right } = document.querySelector(name).getBoundingClientRect();
      return { left, right };
    }),
  );
  assert.ok(clock.left < 100, "the clock is at the end of its line");
  assert.ok(chip.right - dot.right < 20 && dot.left - chip.left > 40, "the dot is before its word");
  const gap = await fan.evaluate(() => getComputedStyle(document.querySelector("#legend .swatch")).marginLeft);
  assert.notEqual(gap, "0px", "the dot does not touch the word");
  sound(fan);
});

test("at 400 % zoom nothing sticks out, and the map is there", async () => {
  const fan = await shopper({ viewport: { width: 320, height: 256 } });
  assert.ok(await fan.evaluate(() => document.documentElement.scrollWidth <= 320));
  assert.ok((await fan.locator("#map-box").boundingBox()).height >= 200);
  sound(fan);
});
