// A show that is cancelled in the console, as its fans, its buyers and its doors see it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { buy } from "./fan.js";
import { KEY, Server } from "./server.js";

const REASON = "The singer is ill.";
const admission = { rate_per_minute: 60000, batch_seconds: 1 };
let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_VISITOR_REQUESTS_PER_SECOND: "0" }), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const progress = (event) => server.call("GET", `/api/v1/organiser/events/${event}/cancel`);

test("an organiser cancels a show, and everyone is told why and gets the money back", async () => {
  await server.event("gala", {
    admission,
    details: { starts_at: "2099-06-05T19:00:00Z", time_zone: "Europe/London", venue: { name: "Example Arena" } },
  });
  const bought = await buy(server, "gala", ["st-A-1", "st-A-2"]);
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/gala`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  await server.call("PATCH", "/api/v1/organiser/events/gala", { paused: true });
  const waiting = await person(browser);
  await waiting.goto(`${server.url}/e/gala`);
  await waiting.getByText("paused").first().waitFor();

  const organiser = await person(browser);
  await organiser.goto(`${server.url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("link", { name: "The gala show" }).click();
  await organiser.getByRole("link", { name: "Cancel the show" }).click();
  await organiser.getByText("1 order will be refunded whole, also the fees: €130.00.").waitFor();
  await accessible(organiser, "the cancellation of a show");
  const asked = [];
  organiser.on("dialog", (dialog) => asked.push(dialog.message()));
  await organiser.getByLabel("Reason, as fans and buyers read it").fill(REASON);
  await shoot(organiser, "console-cancel");
  await organiser.getByRole("button", { name: "Cancel the show" }).click();
  await organiser.getByText("Everything is settled.").waitFor();
  assert.match(asked[0], /Cancel “The gala show”\? This cannot be undone\.[^]*1 order will be refunded whole/);
  await organiser.getByRole("row", { name: "Given back €130.00" }).waitFor();
  await accessible(organiser, "the progress of a cancellation");
  await shoot(organiser, "console-cancelled");

  const told = `This show was cancelled. ${REASON}`;
  await fan.locator("#problem").getByText(told).waitFor();
  await waiting.getByText(told).waitFor();
  await waiting.getByRole("heading", { name: "This show was cancelled" }).waitFor();
  const stranger = await person(browser);
  await stranger.goto(`${server.url}/e/gala`);
  await stranger.getByText(told).waitFor();
  await stranger.getByRole("heading", { name: "This show was cancelled" }).waitFor();
  assert.equal(await stranger.getByRole("button", { name: "Join the line" }).isVisible(), false);
  const plain = await (await fetch(`${server.url}/e/gala`)).text();
  assert.match(plain, />This show was cancelled</);
  assert.match(plain, /schema\.org\/EventCancelled/);
  await shoot(stranger, "queue-cancelled");
  await stranger.goto(server.url);
  await stranger.getByText(told).waitFor();
  await stranger.goto(server.url + bought.link);
  await stranger.getByText(`${told} Its tickets are not valid any more. €130.00 was given back.`).waitFor();
  await accessible(stranger, "an order of a cancelled show");
  await shoot(stranger, "order-cancelled");

  const door = await fetch(`${server.url}/api/v1/organiser/events/gala/checkins`, {
    method: "POST",
    headers: { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ code: bought.tickets[0].code, door: "North" }),
  });
  const refusal = await door.json();
  assert.deepEqual([door.status, refusal.type, refusal.detail], [409, "/problems/event-cancelled", REASON]);
  const end = await progress("gala");
  assert.deepEqual([end.done, end.held, end.paying], [true, 0, 0]);
  for (const page of [fan, waiting, organiser, stranger]) sound(page);
});

test("a server that is killed while it refunds a show goes on, and gives back each order once", async () => {
  await server.event("rush", { admission });
  const seats = Array.from({ length: 60 }, (_, at) => `st-${"AB"[Math.floor(at / 34)]}-${(at % 34) + 1}`);
  const bought = await Promise.all(seats.map((seat) => buy(server, "rush", [seat])));
  await server.call("POST", "/api/v1/organiser/events/rush/cancel", { reason: REASON });
  let killed = 0;
  for (let is = await progress("rush"); !is.done; is = await progress("rush")) {
    if (is.refunded === is.orders || killed === 3) continue;
    killed += 1;
    await server.kill();
    await server.run();
  }
  assert.ok(killed > 0);
  const end = await progress("rush");
  assert.deepEqual([end.orders, end.refunded, end.failed], [60, 60, 0]);
  assert.deepEqual(end.money, [
    {
      refunded: { amount: 60 * 6500, currency: "EUR" },
      charged_back: { amount: 0, currency: "EUR" },
      outstanding: { amount: 0, currency: "EUR" },
    },
  ]);
  for (const order of bought) {
    const { payments } = await server.call("GET", `/api/v1/organiser/events/rush/orders/${order.id}`);
    const refunds = payments.at(-1).history.filter((step) => step.state === "refunded");
    assert.equal(refunds.length, 1, order.id);
  }
  assert.equal((await server.call("GET", "/api/v1/events/rush")).phase, "closed");
});
