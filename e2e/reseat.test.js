// Tickets of an order that are moved to other seats on its page in the console.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { buy } from "./fan.js";
import { signIn } from "./organiser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_VISITOR_REQUESTS_PER_SECOND: "0" }), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

for (const width of [1280, 360])
  test(`a ticket is moved to a cheaper seat and the difference refunded, then to a dearer one, ${width} wide`, async () => {
    const event = `reseat-${width}`;
    await server.event(event, { admission: { rate_per_minute: 60000, batch_seconds: 1 } });
    const order = await buy(server, event, ["st-A-1", "st-A-2"]);
    const page = await person(browser, { locale: "en-GB", viewport: { width, height: 900 } });
    await signIn(page, server);
    await page.goto(`${server.url}/organiser#/event/${event}/order/${order.id}`);
    await page.getByText("Move to another seat").click();
    const seat = page.getByLabel("New seat");
    await page.getByLabel("Ticket of").selectOption("Stalls, row A, seat 1");
    await seat.fill("Stalls, row A, seat 2");
    await page.getByRole("button", { name: "Show the difference" }).click();
    await page.getByText("These seats are not available: taken, or not on sale").waitFor();
    await seat.fill("Circle, row B, seat 3");
    await page.locator("#free-seats option").nth(0).waitFor({ state: "attached" });
    await page.getByRole("button", { name: "Show the difference" }).click();
    await page.getByText("The new seat costs €17.00 less.").waitFor();
    await accessible(page, "a move");
    await shoot(page, `reseat-${width}`);
    await page.getByRole("button", { name: "Move it and refund €17.00" }).click();
    await page.getByText("Moved from Stalls, row A, seat 1 to Circle, row B, seat 3").waitFor();
    await page.getByRole("cell", { name: "Circle, row B, seat 3", exact: true }).waitFor();
    await page.getByText("€17.00 given back for the move to Circle, row B, seat 3").waitFor();
    await page.getByLabel("Ticket of").selectOption("Circle, row B, seat 3");
    await seat.fill("Stalls, row A, seat 1");
    await page.getByRole("button", { name: "Show the difference" }).click();
    await page.getByText("The new seat costs €17.00 more. No card is charged again.").waitFor();
    await page.getByRole("button", { name: "Move it without charge" }).click();
    await page.getByText("Moved from Circle, row B, seat 3 to Stalls, row A, seat 1").waitFor();
    const path = `/api/v1/organiser/events/${event}/orders/${order.id}`;
    const { seats, payments } = await server.call("GET", path);
    const state = seats.map((one) => [one.id, one.state]);
    assert.deepEqual(state, [
      ["st-A-1", "sold"],
      ["st-A-2", "sold"],
    ]);
    assert.equal(payments[0].refunded.amount, 1700);
    sound(page);
  });
