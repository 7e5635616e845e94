// Plans that are pictures: drawn as they are meant, on a phone and a screen, by day and by night.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { KEY, Server } from "./server.js";

/** @type {any} */ let server;
/** @type {any} */ let browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const rectangle = (x, y, width, height, more) => ({
  shape: "rectangle",
  position: { x, y },
  rectangle: { width, height },
  ...more,
});

/** A theatre whose stage is below: curved rows with an aisle, a balcony, a court, tables, a text. */
function theatre() {
  const row = (zone, number, count, y, category) => ({
    row_number: number,
    seats: Array.from({ length: count }, (_, at) => ({
      seat_guid: `${zone}-${number}-${at + 1}`,
      seat_number: String(at + 1),
      position: { x: (at - count / 2) * 25 + (at >= count / 2 ? 40 : 0), y: y - ((at - count / 2) / 3) ** 2 },
      category: at < 2 && number === "A" ? "House" : category,
    })),
  });
  return {
    name: "Theatre",
    categories: [
      { name: "Parkett", color: "#c00020" },
      { name: "Balkon", color: "gold" },
      { name: "House", color: "#888" },
    ],
    zones: [
      {
        name: "Balkon",
        position: { x: 400, y: 60 },
        rows: ["A", "B", "C"].map((label, at) => row("b", label, 22, at * 30, "Balkon")),
      },
      {
        name: "Parkett",
        position: { x: 400, y: 240 },
        rows: ["A", "B", "C", "D", "E"].map((label, at) => row("p", label, 18, at * 30, "Parkett")),
        areas: [
          rectangle(-160, 190, 320, 70, {
            color: "#eeeeee",
            border_color: "#333",
            text: { text: "BÜHNE", position: { x: 160, y: 35 }, size: 28, color: "#333" },
          }),
          {
            shape: "circle",
            position: { x: -320, y: 60 },
            circle: { radius: 36 },
            color: "#d8c7a0",
            text: { text: "37", position: { x: 0, y: 0 }, size: 24 },
          },
          {
            shape: "ellipse",
            position: { x: 340, y: 60 },
            ellipse: { radius: { x: 50, y: 25 } },
            border_color: "teal",
            rotation: 30,
          },
          {
            shape: "polygon",
            position: { x: -300, y: 160 },
            polygon: {
              points: [
                { x: 0, y: 0 },
                { x: 60, y: 20 },
                { x: 30, y: 70 },
              ],
            },
            color: "#9bd",
          },
          { shape: "text", position: { x: 20, y: -88 }, text: { text: "2. RANG", size: 22 } },
        ],
      },
    ],
    accessible: ["p-E-1"],
    companion: ["p-E-2"],
    prices: { Parkett: 4500, Balkon: 2500, House: null },
  };
}

/** An event with the theatre, and a fan in its checkout. */
async function enter(id, options) {
  await server.call("POST", "/api/v1/organiser/events", {
    id,
    name: "Ein Sommernachtstraum",
    admission: { rate_per_minute: 6000, batch_seconds: 1 },
  });
  await server.call("PUT", `/api/v1/organiser/events/${id}/seating`, theatre());
  const fan = await person(browser, options);
  await fan.goto(`${server.url}/e/${id}`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  return fan;
}

/** Asks the map for the place of a seat, or of a point of the whole hall, on it. */
const spot = (page, id) =>
  page.evaluate(async (id) => {
    const layout = await (await fetch(`/api/v1/events/${document.body.dataset.event}/seating`)).json();
    const box = document.getElementById("map").getBoundingClientRect();
    const { width, height } = layout.size;
    const scale = Math.min(box.width / (width + 3), box.height / (height + 3.5));
    const seats = layout.blocks.flatMap((b) => b.rows ?? []).flatMap((r) => r.seats);
    const seat = seats.find((s) => s.id === id);
    return {
      x: (box.width - width * scale) / 2 + seat.x * scale,
      y: (box.height - height * scale) / 2 + seat.y * scale,
    };
  }, id);

test("a plan that is a picture is drawn as it is, and its seats are bought by the names on it", async () => {
  const fan = await enter("picture", { viewport: { width: 1280, height: 900 } });
  await accessible(fan, "a plan that is a picture");
  // The table is where the plan has it, in its colour, and there is no stage but the plan's own.
  const drawn = await fan.evaluate(async () => {
    const layout = await (await fetch(`/api/v1/events/${document.body.dataset.event}/seating`)).json();
    const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("map"));
    const box = canvas.getBoundingClientRect();
    const { width, height } = layout.size;
    const scale = Math.min(box.width / (width + 3), box.height / (height + 3.5));
    const table = layout.shapes.find((shape) => shape.text?.text === "37");
    const x = (box.width - width * scale) / 2 + (table.x - table.ellipse[0] * 0.8) * scale;
    const y = (box.height - height * scale) / 2 + table.y * scale;
    return [layout.stage, ...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
  });
  assert.deepEqual(drawn, [false, 0xd8, 0xc7, 0xa0, 255]);
  const at = await spot(fan, "p-C-9");
  await fan.mouse.move(0, 0);
  await fan.locator("#map").hover({ position: at });
  await fan.locator("#map-card").getByText("Parkett, row C, seat 9").waitFor();
  await shoot(fan, "plan-wide");
  await fan.locator("#map").click({ position: at });
  await fan.locator("#chosen").getByText("Parkett, row C, seat 9").waitFor();
  // A category that is not for sale has no entry in the key, and cannot be chosen.
  assert.equal(await fan.locator("#legend").getByText("House").count(), 0);
  await fan.locator("#map").click({ position: await spot(fan, "p-A-1") });
  await fan.locator("#live").getByText("Parkett, row A, seat 1 is blocked").waitFor({ state: "attached" });
  for (let i = 0; i < 3; i++) await fan.getByRole("button", { name: "Zoom in" }).click();
  await shoot(fan, "plan-wide-zoomed");
  // However far it is dragged, a part of the hall stays in view.
  const box = await fan.locator("#map").boundingBox();
  for (let i = 0; i < 8; i++) {
    await fan.mouse.move(box.x + 20, box.y + 20);
    await fan.mouse.down();
    await fan.mouse.move(box.x + box.width - 10, box.y + box.height - 10, { steps: 4 });
    await fan.mouse.up();
  }
  const painted = await fan.evaluate(() => {
    const canvas = document.getElementById("map");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i]) count++;
    return count;
  });
  assert.ok(painted > 500, `${painted} pixels of the hall are in view`);
  sound(fan);
});

test("on a phone the total of the chosen seats is in view, and the page scrolls", async () => {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: "dark" };
  const fan = await enter("pocket", phone);
  await shoot(fan, "plan-phone-dark");
  await fan.locator("#map").tap({ position: await spot(fan, "p-E-9") });
  await fan.locator("#bottom").getByText("1 seat · €45.00").waitFor();
  assert.ok(await fan.locator("#bottom").evaluate((bar) => bar.getBoundingClientRect().bottom <= innerHeight));
  assert.equal(await fan.locator("#map").evaluate((map) => getComputedStyle(map).touchAction), "pan-y");
  assert.ok(await fan.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
  await accessible(fan, "a plan on a phone in the dark");
  await fan.getByRole("button", { name: "Zoom in" }).click();
  await fan.getByRole("button", { name: "Zoom in" }).click();
  await fan.getByRole("button", { name: "Zoom in" }).click();
  await shoot(fan, "plan-phone-dark-zoomed");
  sound(fan);
});

test("places of an area are held by their number, in the list and from the keyboard on the map", async () => {
  await server.event("standing", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/standing`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await shoot(fan, "plan-own-light");
  await fan.locator("#map").focus();
  for (let i = 0; i < 4; i++) await fan.keyboard.press("ArrowUp");
  await fan.locator("#live").getByText("Standing floor, Standing, €39.00, 500 free").waitFor({ state: "attached" });
  await fan.keyboard.press("Enter");
  assert.equal(await fan.locator("#category").inputValue(), "standing");
  await fan.getByRole("button", { name: "As a list" }).click();
  await fan.locator("#list summary").filter({ hasText: "Standing floor" }).click();
  assert.equal(await fan.locator("#list [data-seat]").count(), 0, "no button for each of 500 places");
  await fan.getByLabel("How many places").fill("3");
  await fan.getByRole("button", { name: "Hold places" }).click();
  await fan.getByText("Held for you for").waitFor();
  assert.equal(await fan.locator("#chosen").getByText("Standing floor").count(), 3);
  await accessible(fan, "an area in the list");
  sound(fan);
});

test("an organiser brings a plan from elsewhere, sees how it is understood, and prices it", async () => {
  const organiser = await person(browser);
  await organiser.goto(`${server.url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("link", { name: "New sale", exact: true }).first().click();
  await organiser.getByLabel("Name", { exact: true }).fill("Import");
  await organiser.getByLabel("Address: a-z, 0-9 and -").fill("import");
  const list =
    "\ufeffsection;row;seat;category;x;y;notes\nParkett;A;1;A;0;0;\nParkett;A;2;A;1;0;Säule\nParkett;A;2;B;9;0;\n";
  const file = { name: "plan.csv", mimeType: "text/csv", buffer: Buffer.from(list, "utf16le") };
  await organiser.getByLabel(/From a file/).setInputFiles(file);
  await organiser.getByText("its id 'Parkett-A-2' is also that of Parkett, row A, seat 2").waitFor();
  // Mended by hand.
  const plan = organiser.getByLabel(/^Seating plan/);
  await plan.fill((await plan.inputValue()).replace("A;2;B", "A;3;B"));
  await organiser.getByRole("button", { name: "Preview the plan" }).click();
  await organiser.getByText("3 seats in a CSV list: 1 section, 1 row.").waitFor();
  await accessible(organiser, "a plan that has no prices yet");
  await shoot(organiser, "plan-import", { fullPage: true });
  await organiser.getByLabel("Price of A in EUR").fill("45.50");
  await organiser.getByRole("button", { name: "Create the sale" }).click();
  await organiser.getByRole("heading", { name: "Import" }).waitFor();
  const layout = await (await fetch(`${server.url}/api/v1/events/import/seating`)).json();
  const prices = layout.categories.map((category) => [category.price.amount, category.not_for_sale ?? false]);
  assert.deepEqual(prices, [
    [4550, false],
    [0, true],
  ]);
  sound(organiser);
});
