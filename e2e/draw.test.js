// The draw: what fans see of it, and that their own browser finds any tampering.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** Opens the line of an event that is drawn at its sale, which the organiser has set for later. */
async function openPrequeue(id) {
  const opens = new Date(Date.now() + 3600_000).toISOString();
  await server.event(id, {
    order: "draw",
    prequeue_opens_at: new Date().toISOString(),
    sale_opens_at: opens,
    admission: { rate_per_minute: 0 },
  });
}

/** Joins that many fans, without browsers. */
async function join(id, count) {
  for (let joined = 0; joined < count; joined += 20) {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const answer = await fetch(`${server.url}/api/v1/events/${id}/line`, { method: "POST" });
        assert.equal(answer.status, 201);
      }),
    );
  }
}

/** The organiser moves the opening to now: the draw is held. */
const openSale = (id) =>
  server.call("PATCH", `/api/v1/organiser/events/${id}`, { sale_opens_at: new Date().toISOString() });

test("fans are drawn at the opening, and their browser checks the draw", async () => {
  await openPrequeue("drawn");
  const fans = [await person(browser), await person(browser)];
  for (const fan of fans) {
    await fan.goto(`${server.url}/e/drawn`);
    await fan.getByText("drawn at the opening").waitFor();
    await fan.getByText(/^ent_[0-9a-f]{32}$/).waitFor();
  }
  await join("drawn", 300);
  await accessible(fans[0], "the queue before a draw");
  await shoot(fans[0], "draw-before");
  const page = await person(browser);
  await page.goto(`${server.url}/e/drawn/draw`);
  await page.getByText("The draw was not held yet.").waitFor();
  const promised = await page.locator("#commitment").textContent();
  assert.match(promised, /^[0-9a-f]{64}$/);

  await openSale("drawn");
  const numbers = [];
  for (const fan of fans) {
    await fan.locator("#number").filter({ hasText: /^\d+$/ }).waitFor();
    numbers.push(Number(await fan.locator("#number").textContent()));
  }
  assert.notEqual(numbers[0], numbers[1]);
  // The pass that the browser keeps is of the drawn number now.
  await fans[0].reload();
  await fans[0]
    .locator("#number")
    .filter({ hasText: String(numbers[0]) })
    .waitFor();

  await fans[0].goto(`${server.url}/e/drawn/draw`);
  await fans[0].getByRole("button", { name: "Check it in this browser" }).click();
  await fans[0].getByText(`The draw was held as promised. Your entry drew number ${numbers[0]}.`).waitFor();
  assert.equal(await fans[0].locator("#commitment").textContent(), promised);
  assert.equal(await fans[0].locator("#steps li").count(), 3);
  await accessible(fans[0], "a checked draw");
  await shoot(fans[0], "draw-checked", { fullPage: true });
  for (const fan of fans) sound(fan);
});

test("any tampering with entries, seed or order is found in the browser", async () => {
  await openPrequeue("tampered");
  await join("tampered", 300);
  await openSale("tampered");
  const state = async () => (await fetch(`${server.url}/api/v1/events/tampered/draw`)).json();
  let draw = await state();
  for (let asked = 1; draw.seed == null; asked++) {
    assert.ok(asked < 10_000, "the draw is held once the sale is open");
    draw = await state();
  }
  const list = await (await fetch(`${server.url}/api/v1/events/tampered/draw/entries`)).text();
  const lines = list.trimEnd().split("\n");
  const entry = (at) => lines[at].split(" ")[0];
  const swapped = [...lines];
  [swapped[0], swapped[1]] = [`${entry(1)} 1`, `${entry(0)} 2`];
  const foreign = [...lines];
  foreign[5] = `ent_${"0".repeat(32)} 6`;
  /** @type {[RegExp, any, string[]][]} */
  const cases = [
    [/number 1 belongs to another entry/, draw, swapped],
    [/not the one that was published/, draw, foreign],
    [/the list has 299 entries, not 300/, draw, lines.slice(1)],
    [/not the one that was promised/, { ...draw, seed: "00".repeat(32) }, lines],
  ];
  for (const [expected, told, entries] of cases) {
    const page = await person(browser);
    await page.route("**/events/tampered/draw", (route) => route.fulfill({ json: told }));
    await page.route("**/draw/entries", (route) =>
      route.fulfill({ contentType: "text/plain", body: `${entries.join("\n")}\n` }),
    );
    await page.goto(`${server.url}/e/tampered/draw`);
    await page.getByRole("button", { name: "Check it in this browser" }).click();
    await page.getByText(/This does not add up/).waitFor();
    assert.match(await page.locator("#verdict").textContent(), expected);
    sound(page);
  }
});
