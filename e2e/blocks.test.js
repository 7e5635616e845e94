// Seats that are blocked, put back and sold by clicking in the console.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound, until } from "./browser.js";
import { signIn } from "./organiser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** Presses a seat of the map. */
async function press(page, seat) {
  // From near, where there are seats.
  const canvas = page.locator("canvas.map");
  await canvas.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  // On a phone the first one shows the section.
  if (!(await page.getByRole("button", { name: "Choose none" }).isVisible())) await page.keyboard.press("Enter");
  await page.getByText(seat).first().waitFor();
}

for (const width of [1280, 360])
  test(`seats are blocked with a reason, listed by owner, and put back by clicking, ${width} wide`, async () => {
    const id = `blocks-${width}`;
    await server.event(id);
    const page = await person(browser, { locale: "en-GB", viewport: { width, height: 900 } });
    await signIn(page, server);
    await page.goto(`${server.url}/organiser#/event/${id}/seats`);
    await page.getByText("Nothing yet. Tap seats on the map.").waitFor();
    await press(page, "Stalls, row A, seat 1");
    await page.getByLabel("For whom").first().fill("Promoter");
    await page.getByLabel("Reason").fill("guests");
    await page.getByRole("button", { name: "Block", exact: true }).click();
    await page.getByText("1 seat blocked.").first().waitFor();
    await page.getByRole("cell", { name: "Promoter" }).waitFor();
    await page.getByLabel("For whom").nth(1).selectOption("Promoter");
    await page.getByRole("cell", { name: "guests" }).waitFor();
    await accessible(page, page.url());
    await shoot(page, `blocks-${width}`);

    await page.getByRole("button", { name: "Choose these on the map" }).click();
    await page.getByText("1: Stalls, row A, seat 1.").waitFor();
    await page.getByRole("button", { name: "Put back on sale" }).click();
    await page.getByText("1 seat back on sale.").first().waitFor();
    const { seats } = await server.call("GET", `/api/v1/organiser/events/${id}/seats/blocks`);
    assert.deepEqual(seats, []);
    sound(page);
  });

test("the desk sells a blocked seat only when it is told to", async () => {
  const id = "blocked-desk";
  await server.event(id);
  await server.call("POST", `/api/v1/organiser/events/${id}/seats/block`, { seats: ["st-A-1"], owner: "Promoter" });
  // The states of the seats are up to a second old.
  const isBlocked = async () => {
    const { seats } = await server.call("GET", `/api/v1/events/${id}/seats`);
    return seats.find((seat) => seat.id === "st-A-1").state === "blocked";
  };
  await until(isBlocked);
  const page = await person(browser, { locale: "en-GB" });
  await signIn(page, server);
  await page.goto(`${server.url}/organiser#/event/${id}/desk`);
  await page.locator("summary").filter({ hasText: "Stalls" }).click();
  const seat = page.getByRole("button", { name: /row A, seat 1$/ });
  await page.getByRole("button", { name: /row A, seat 1$/, disabled: true }).waitFor();
  await page.getByLabel("Sell blocked seats").check();
  await seat.click();
  await page.getByLabel("Name").fill("Ada");
  await page.getByRole("button", { name: "Sell", exact: true }).click();
  await page.getByRole("heading", { name: "Order" }).waitFor();
  const sales = await server.call("GET", `/api/v1/organiser/events/${id}/sales`);
  assert.deepEqual([sales.blocked, sales.booked], [0, 1]);
  sound(page);
});
