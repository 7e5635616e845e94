// Seats sold at the organiser's desk, in the console.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, person, shoot, sound, until } from "./browser.js";
import { KEY, Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

test("an organiser picks a seat, sells it for cash, and gives two more away", async () => {
  const id = "desk";
  await server.event(id);
  const page = await person(browser, { locale: "en-US" });
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: `The ${id} show` }).click();
  await page.getByRole("link", { name: "Sell at the desk" }).click();
  await page.locator("summary").filter({ hasText: "Stalls" }).click();
  await page.getByRole("button", { name: /row A, seat 1$/ }).click();
  await page.getByText("Tickets: €65.00.").waitFor();
  await shoot(page, "desk");
  await page.getByLabel("Name").fill("Ada");
  await page.getByRole("button", { name: "Sell", exact: true }).click();
  await page.getByRole("heading", { name: "Order" }).waitFor();
  await page.getByRole("button", { name: "Tickets as PDF" }).waitFor();
  // The states of the seats are up to a second old.
  await until(async () => {
    const { seats } = await server.call("GET", `/api/v1/events/${id}/seats`);
    return seats.find((seat) => seat.id === "st-A-1").state !== "available";
  });
  await page.goto(`${server.url}/organiser#/event/${id}/desk`);
  await page.locator("summary").filter({ hasText: "Stalls" }).click();
  await page.getByRole("button", { name: /row A, seat 1$/, disabled: true }).waitFor();
  await page.getByLabel("How many").fill("2");
  await page.getByLabel("Paid by").selectOption("comp");
  await page.getByLabel("Name").fill("Press");
  await page.getByRole("button", { name: "Sell", exact: true }).click();
  await page.getByRole("heading", { name: "Order" }).waitFor();
  // Another desk sells what this one has picked.
  await page.goto(`${server.url}/organiser#/event/${id}/desk`);
  await page.locator("summary").filter({ hasText: "Stalls" }).click();
  const seat = (number) => page.getByRole("button", { name: new RegExp(`^Stalls, row A, seat ${number}$`) });
  await seat(8).click();
  await seat(9).click();
  const sale = { seats: ["st-A-8"], buyer: { name: "Grace" }, method: "cash" };
  await server.call("POST", `/api/v1/organiser/events/${id}/orders`, sale);
  await page.getByText("Left out, as someone else has it now: Stalls, row A, seat 8.").waitFor();
  // It is held for a moment before.
  await until(async () => (await seat(8).getAttribute("title")) === "booked");
  assert.equal(await seat(8).isDisabled(), true);
  assert.equal(await seat(9).getAttribute("aria-pressed"), "true");
  await page.getByText("Tickets: €65.00.").waitFor();
  const sales = await server.call("GET", `/api/v1/organiser/events/${id}/sales`);
  const methods = sales.methods.map((own) => [own.method, own.orders, own.revenue.amount]);
  assert.deepEqual(methods, [
    ["cash", 2, 13000],
    ["comp", 1, 0],
  ]);
  sound(page);
});
