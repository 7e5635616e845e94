// The checkout of one fan: its steps, its tabs, on a phone, and when the time is over.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, sound, watched } from "./browser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const quick = { rate_per_minute: 6000, batch_seconds: 1 };
const sales = (event) => server.call("GET", `/api/v1/organiser/events/${event}/sales`);

/** A fan who has come to the seats of a new event. */
async function shopper(event, options = {}, admission = {}) {
  await server.event(event, { admission: { ...quick, ...admission } });
  const fan = await person(browser, options);
  await fan.goto(`${server.url}/e/${event}`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  return fan;
}

const current = (page) => page.locator('#steps [aria-current="step"]').textContent();

test("seats that are held, an order that is not paid and tickets are found in any tab", async () => {
  const fan = await shopper("tabs");
  await fan.getByText("Test mode: no card is charged.").waitFor();
  assert.equal(await current(fan), "Seats");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  assert.equal(await current(fan), "Your details");
  await accessible(fan, "the details of the buyer");

  const tab = watched(await fan.context().newPage());
  await tab.goto(`${server.url}/e/tabs/seats`);
  await tab.getByText("Held for you for").waitFor();
  assert.equal(await current(tab), "Your details");
  assert.equal((await sales("tabs")).held, 2, "the second tab holds nothing more");

  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByRole("button", { name: "Pay €130.00" }).waitFor();
  assert.equal(await current(fan), "Payment");

  await tab.goto(`${server.url}/orders`);
  await tab.getByText("2 tickets · €130.00 · not paid yet").waitFor();
  await tab.getByRole("link", { name: "The tabs show" }).click();
  await tab.getByRole("button", { name: "Pay €130.00" }).waitFor();
  await tab.getByLabel("Card number").fill("4242 4242 4242 4242");
  await tab.getByRole("button", { name: "Pay €130.00" }).click();
  await tab.getByText(/Confirmed: /).waitFor();

  await tab.goto(`${server.url}/orders`);
  await tab.getByText("2 tickets · €130.00 · confirmed").waitFor();
  await accessible(tab, "the tickets of a browser");
  await tab.getByRole("link", { name: "The tabs show" }).click();
  await tab
    .getByRole("img", { name: /QR code/ })
    .nth(1)
    .waitFor();
  assert.equal((await sales("tabs")).booked, 2);
  for (const page of [fan, tab]) sound(page);
});

test("a browser without tickets is told where tickets are", async () => {
  const stranger = await person(browser);
  await stranger.goto(`${server.url}/orders`);
  await stranger.getByText("This browser has no tickets.").waitFor();
  sound(stranger);
});

test("on a phone the bar at the bottom counts the seats and holds them", async () => {
  const fan = await shopper("phone", { viewport: { width: 360, height: 740 } });
  const bar = fan.locator("#bottom");
  await fan.getByRole("button", { name: "As a list" }).click();
  assert.equal(await bar.isVisible(), false, "no bar before a seat is chosen");
  await fan.locator("#list summary").first().click();
  await fan.locator("#list details[open] button:enabled").first().click();
  await bar.getByText(/^1 seat · €/).waitFor();
  const wide = await fan.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} px wide`);
  await accessible(fan, "the bar on a phone");
  await bar.getByRole("button", { name: "Hold these seats" }).click();
  await fan.getByText("Held for you for").waitFor();
  assert.equal(await bar.isVisible(), false, "no bar once they are held");
  assert.equal((await sales("phone")).held, 1);
  sound(fan);
});

test("a fan is warned before the time to shop ends, gets more of it once, and readers hear of it once", async () => {
  // Under a minute, so that the warning is there from the beginning.
  const times = { claim_seconds: 5, session_seconds: 50, extension_seconds: 30 };
  const fan = await shopper("ending", {}, times);
  const ending = fan.locator("#ending");
  await ending.getByText(/Your time to shop ends in 0:\d\d\./).waitFor();
  const said = await fan.locator("#live").textContent();
  assert.equal(said, "Your time to shop ends in a minute. You may ask for more time, once.");
  await fan.evaluate(() => {
    globalThis.said = [];
    new MutationObserver(() => globalThis.said.push(document.querySelector("#live").textContent)).observe(
      document.querySelector("#live"),
      { childList: true, characterData: true, subtree: true },
    );
  });
  const shown = await ending.textContent();
  await fan.waitForFunction((before) => document.querySelector("#ending").textContent !== before, shown);
  assert.deepEqual(await fan.evaluate(() => globalThis.said), [], "the clock runs in silence");
  assert.equal(await ending.getAttribute("aria-live"), null);
  await accessible(fan, "the warning");

  const session = () => fan.evaluate(() => fetch("/api/v1/events/ending/sessions").then((answer) => answer.json()));
  const before = await session();
  await ending.getByRole("button", { name: "I need more time" }).click();
  await ending.waitFor({ state: "hidden" });
  const after = await session();
  assert.equal(Date.parse(after.expires_at) - Date.parse(before.expires_at), 30_000);
  assert.equal(after.extension_seconds, 0);
  await fan.getByText(/1:\d\d left to shop/).waitFor();
  sound(fan);
});

test("where a session cannot be extended the warning has no button", async () => {
  const fan = await shopper("nomore", {}, { claim_seconds: 5, session_seconds: 30, extension_seconds: 0 });
  await fan.getByText(/Your time to shop ends in 0:\d\d\./).waitFor();
  assert.equal(await fan.getByRole("button", { name: "I need more time" }).isVisible(), false);
  sound(fan);
});

test("a fan whose time to shop is over is told so, with ways on", async () => {
  const fan = await shopper("over", {}, { claim_seconds: 10, session_seconds: 1 });
  await fan.getByRole("heading", { name: "Your time to shop is over" }).waitFor();
  for (const part of ["#hall", "#best", "#basket", "#leave", "#ending"])
    assert.equal(await fan.locator(part).isVisible(), false, `${part} is not offered`);
  assert.equal(await fan.evaluate(() => document.activeElement?.textContent), "Your time to shop is over");
  await accessible(fan, "the end of the session");
  assert.ok(await fan.getByRole("link", { name: "Your tickets" }).isVisible());
  await fan.getByRole("link", { name: "Back to the line" }).click();
  await fan.waitForURL(`${server.url}/e/over`);
  sound(fan);
});

test("a fan whose seats are kept while the payment service is away is told until when at most", async () => {
  await server.event("kept", { admission: quick });
  await server.call("PATCH", "/api/v1/organiser/events/kept/checkout", { hold_seconds: 1 });
  const fan = await person(browser);
  let isAway = true;
  const keptUntil = new Date(Date.now() + 300_000);
  await fan.route("**/api/v1/holds/hold_*", async (route) => {
    const response = await route.fetch();
    const hold = await response.json();
    await route.fulfill({
      response,
      json: isAway ? { ...hold, state: "active", kept_until: keptUntil.toISOString() } : hold,
    });
  });
  await fan.goto(`${server.url}/e/kept`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("The payment service is away at the moment. Your seats are kept while it is, until").waitFor();
  await fan.getByText(/^Held for you for [45]:\d\d at most$/).waitFor();
  await accessible(fan, "seats that are kept");
  await sound(fan);
  // It is back: the hold ends, as it would have before.
  isAway = false;
  await fan.getByText("Your hold ran out and the seats went back. Choose again.").waitFor();
  await fan.getByText("The payment service is away").waitFor({ state: "hidden" });
});

test("a map that hears nothing says so, and leaving that fails is told", async () => {
  const fan = await shopper("silence");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  await fan.getByRole("button", { name: "Release seats" }).click();
  await fan.getByText("Nothing chosen yet.").waitFor();

  server.process.kill("SIGSTOP");
  try {
    await fan.getByText(/^No news of the seats since \d\d:\d\d:\d\d\. Trying again/).waitFor();
    await fan.getByRole("button", { name: "Find and hold" }).click();
    await accessible(fan, "a map that hears nothing");
  } finally {
    server.process.kill("SIGCONT");
  }
  await fan.getByText("Held for you for").waitFor();
  await fan.getByText(/^No news of the seats/).waitFor({ state: "hidden" });

  await fan.route("**/sessions", (route) => (route.request().method() === "DELETE" ? route.abort() : route.continue()));
  await fan.getByRole("button", { name: "Leave the checkout" }).click();
  await fan.locator("#problem").waitFor();
  assert.equal(new URL(fan.url()).pathname, "/e/silence/seats");
  await fan.unroute("**/sessions");
  await fan.getByRole("button", { name: "Leave the checkout" }).click();
  await fan.waitForURL(`${server.url}/e/silence`);
  assert.equal((await sales("silence")).held, 0);
});
