// Two fans and an organiser, through the whole journey.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound, until, weigh } from "./browser.js";
import { KEY, Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

async function signIn(page) {
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill("a wrong key, to be told so");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("There is no such key.").waitFor();
  await page.getByLabel("Organiser key").fill(KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sales" }).waitFor();
}

/** A seat's place on the canvas. */
const spot = (page, id) =>
  page.evaluate(async (id) => {
    const layout = await (await fetch(`/api/v1/events/${document.body.dataset.event}/seating`)).json();
    const canvas = document.getElementById("map"),
      box = canvas.getBoundingClientRect();
    const least = Math.min(box.width / (layout.size.width + 3), box.height / (layout.size.height + 6));
    const seat = layout.blocks
      .flatMap((b) => b.rows ?? [])
      .flatMap((r) => r.seats)
      .find((s) => s.id === id);
    return { x: (box.width - layout.size.width * least) / 2 + seat.x * least, y: 4 * least + seat.y * least };
  }, id);

/** Orders the seats that are found for a fan who has come to the checkout, up to the payment. */
async function order(fan) {
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByLabel("Name").fill("Grace");
  await fan.getByLabel("E-mail").fill("grace@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
}

test("two fans and an organiser go through a whole evening", async () => {
  const organiser = await person(browser);
  await signIn(organiser);
  await organiser.getByRole("link", { name: "New sale", exact: true }).first().click();
  await organiser.getByLabel("Name", { exact: true }).fill("Arena Night");
  await organiser.getByLabel("Address: a-z, 0-9 and -").fill("arena-night");
  await organiser.getByLabel(/Publish it at once/).check();
  await organiser.getByLabel("Fans a minute").fill("6000");
  await accessible(organiser, "the form for a new sale");
  await organiser.getByLabel(/Seating plan/).fill("{ broken");
  await organiser.getByRole("button", { name: "Create the sale" }).click();
  await organiser.getByRole("alert").filter({ hasText: "Seating plan" }).waitFor();
  const plan = {
    categories: [
      { id: "stalls", name: "Stalls", price: 6500 },
      { id: "standing", name: "Standing", price: 3900 },
    ],
    sections: [{ id: "st", name: "Stalls", category: "stalls", rows: 16, seats_per_row: 34 }],
    areas: [{ id: "floor", name: "Standing floor", category: "standing", capacity: 400 }],
  };
  await organiser.getByLabel(/Seating plan/).fill(JSON.stringify(plan));
  await organiser.getByRole("button", { name: "Create the sale" }).click();
  await organiser.getByRole("heading", { name: "Arena Night" }).waitFor();
  await organiser.getByRole("button", { name: "Pause" }).click();
  await organiser.getByText("paused", { exact: true }).waitFor();

  const [ada, ben] = [
    await person(browser),
    await person(browser, { viewport: { width: 390, height: 844 }, colorScheme: "dark" }),
  ];
  await ada.goto(`${server.url}/e/arena-night`);
  await ada.getByRole("heading", { name: "You are next" }).waitFor();
  await ben.goto(`${server.url}/e/arena-night`);
  await ben.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  assert.match(await ben.title(), /1 ahead of you/);
  await organiser.getByLabel(/Message/).fill("Doors open at seven.");
  await organiser.getByRole("button", { name: "Send" }).click();
  await ada.getByText("Doors open at seven.").first().waitFor();
  await accessible(ada, "the queue");
  await accessible(ben, "the queue in the dark on a phone");
  await shoot(ben, "queue-phone-dark");
  await organiser.getByRole("button", { name: "Resume" }).click();

  await ada.getByRole("heading", { name: "It is your turn" }).waitFor();
  await accessible(ada, "the turn");
  await shoot(ada, "turn");
  await ada.getByRole("link", { name: "Go to the checkout" }).click();
  await ada.getByRole("heading", { name: "Choose your seats" }).waitFor();
  await ada.getByText("left to shop").waitFor();
  for (const id of ["st-C-12", "st-C-13"]) await ada.locator("#map").click({ position: await spot(ada, id) });
  await ada.locator("#chosen").getByText("Stalls, row C, seat 13").waitFor();
  await ada.getByRole("button", { name: "Hold these seats" }).click();
  await ada.getByText("Held for you for").waitFor();

  await ben.getByRole("link", { name: "Go to the checkout" }).click();
  await ben.getByRole("button", { name: "As a list" }).click();
  await ben.locator("#list summary").filter({ hasText: "Stalls" }).click();
  assert.equal(await ben.getByRole("button", { name: /row C, seat 12,/ }).isDisabled(), true);
  await accessible(ben, "the list of seats");
  await ben.getByLabel("How many").fill("3");
  await ben.getByRole("button", { name: "Find and hold" }).click();
  await ben.getByText("Held for you for").waitFor();
  assert.equal(await ben.locator("#chosen li").count(), 3);

  await ada.getByLabel("Name").fill("Ada Lovelace");
  await ada.getByLabel("E-mail").fill("ada@example.org");
  await shoot(ada, "seats");
  await ada.getByRole("button", { name: "Continue to payment" }).click();
  await ada.getByLabel("Card number").fill("4000 0000 0000 0002");
  await ada.getByRole("button", { name: /^Pay / }).click();
  await ada.getByText("The card was declined. Your seats are still yours").waitFor();
  await accessible(ada, "a declined payment");
  await ada.getByLabel("Card number").fill("4242 4242 4242 4242");
  await ada.getByRole("button", { name: /^Pay / }).click();
  await ada.getByText(/Confirmed: /).waitFor();
  await ada
    .getByRole("img", { name: /QR code/ })
    .nth(1)
    .waitFor();
  assert.equal(await ada.getByRole("img", { name: /QR code/ }).count(), 2);
  await accessible(ada, "the tickets");
  await shoot(ada, "tickets");

  // The link opens the tickets on another device; without its key it does not.
  const phone = await person(browser);
  await phone.goto(ada.url());
  await phone.getByText("Stalls, row C, seat 12").first().waitFor();
  await phone.goto(ada.url().replace(/\?.*/, ""));
  await phone.getByText("This order cannot be shown here").waitFor();

  await organiser.getByText("Ada Lovelace").waitFor();
  await accessible(organiser, "the dashboard");
  await organiser
    .getByRole("row", { name: /Ada Lovelace/ })
    .getByRole("link")
    .click();
  await organiser.getByRole("button", { name: /^Refund the whole order/ }).click();
  await organiser.getByText(/ was refunded\.$/).waitFor();
  await organiser.getByText("refunded", { exact: true }).waitFor();
  await ada.reload();
  await ada.getByText("This order was refunded").waitFor();
  await organiser.getByRole("link", { name: "Audit log" }).click();
  await organiser.getByText("order.refund").waitFor();
  await accessible(organiser, "the audit log");
  for (const page of [organiser, ada, ben, phone]) sound(page);
});

test("the list of seats says what the map shows, whoever takes or gives back", async () => {
  await server.event("listed", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/listed`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await fan.getByRole("button", { name: "As a list" }).click();
  await fan.locator("#list summary").filter({ hasText: "Stalls" }).click();
  const seat = (/** @type {number} */ at, /** @type {string} */ state) =>
    fan.getByRole("button", { name: new RegExp(`row A, seat ${at},.* ${state}$`) });
  for (const at of [5, 6]) await seat(at, "available").click();
  for (const at of [5, 6]) assert.equal(await seat(at, "chosen").getAttribute("aria-pressed"), "true");
  await server.call("POST", "/api/v1/organiser/events/listed/seats/block", { seats: ["st-A-5"] });
  await seat(5, "blocked").waitFor();
  assert.equal(await seat(5, "blocked").isDisabled(), true);
  assert.equal(await seat(5, "blocked").getAttribute("aria-pressed"), "false");
  await server.call("POST", "/api/v1/organiser/events/listed/seats/unblock", { seats: ["st-A-5"] });
  await seat(5, "available").waitFor();
  assert.equal(await seat(5, "available").isDisabled(), false);
  // Held seats are no longer chosen, and are free again when they are given back.
  await fan.getByRole("button", { name: "Hold these seats" }).click();
  await fan.getByText("Held for you for").waitFor();
  const held = fan.locator('#list [data-seat="st-A-6"][aria-label$=" held"]');
  await held.waitFor({ state: "attached" });
  assert.equal(await held.isDisabled(), true);
  await fan.getByRole("button", { name: "Release seats" }).click();
  await seat(6, "available").waitFor();
  sound(fan);
});

test("a seat that is gone and a hold that ran out are explained, and buying goes on", async () => {
  await server.event("recovery", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  await server.call("PATCH", "/api/v1/organiser/events/recovery/checkout", { hold_seconds: 3, hold_max_seconds: 60 });
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/recovery`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await fan.locator("#map").click({ position: await spot(fan, "st-A-5") });
  await server.call("POST", "/api/v1/organiser/events/recovery/seats/block", { seats: ["st-A-5"] });
  await fan.getByText("Stalls, row A, seat 5 was just taken by another fan.").waitFor();
  await fan.locator("#map").click({ position: await spot(fan, "st-A-6") });
  await fan.getByRole("button", { name: "Hold these seats" }).click();
  await fan.getByText("Held for you for").waitFor();
  await fan.getByText("Your hold ran out and the seats went back. Choose again.").waitFor();
  await order(fan);
  // Before that the order may not have been sent.
  await fan.getByLabel("Card number").waitFor();
  await fan.reload();
  await fan.getByLabel("Card number").fill("4242424242424242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText(/Confirmed: /).waitFor();
  sound(fan);
});

test("a fan whose bank answers after the time to pay is asked to wait, and gets the seats that are still free", async () => {
  await server.event("slow-bank", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const rules = { hold_seconds: 8, hold_max_seconds: 8 };
  await server.call("PATCH", "/api/v1/organiser/events/slow-bank/checkout", rules);
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/slow-bank`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await order(fan);
  await fan.getByLabel("Card number").fill("4000000000000259");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText("Your payment is being confirmed.").waitFor();
  await fan.getByText("Please do not buy again yet").waitFor();
  await fan.reload();
  await fan.getByText("Please do not buy again yet").waitFor();
  await fan.getByText(/Confirmed: /).waitFor();
  sound(fan);
});

test("an order that is accepted and made later is waited for, and paid", async () => {
  await server.event("slow-store", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await person(browser);
  const later = { state: "pending", until: new Date(Date.now() + 30000).toISOString() };
  let asked = 0;
  // The server makes it at once; the page is told as by one whose store is slow.
  await fan.route("**/api/v1/orders", async (route) => {
    if (route.request().method() !== "POST") return route.continue();
    assert.equal(await route.request().headerValue("prefer"), "respond-async");
    const made = await (await route.fetch()).json();
    await route.fulfill({ status: 202, json: { id: made.id, ...later } });
  });
  await fan.route(/orders\/ord_[0-9a-f]+\?until=/, async (route) => {
    if (++asked > 1) return route.continue();
    await fan.getByText("Very many are buying at this moment").waitFor();
    await route.fulfill({
      status: 202,
      json: {
        id: route
          .request()
          .url()
          .match(/ord_\w+/)[0],
        ...later,
      },
    });
  });
  await fan.goto(`${server.url}/e/slow-store`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await order(fan);
  await fan.getByLabel("Card number").fill("4242424242424242");
  assert.equal(await fan.getByText("Very many are buying at this moment").isVisible(), false);
  assert.equal(asked, 2);
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText(/Confirmed: /).waitFor();
  sound(fan);
});

test("a seat that goes before the map's socket opens is told of as well", async () => {
  await server.event("late-socket", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await person(browser);
  let open;
  const gate = new Promise((resolve) => {
    open = resolve;
  });
  // For the page it is open at once; what the server says comes later.
  await fan.routeWebSocket(/seats\/ws$/, (socket) => void gate.then(() => socket.connectToServer()));
  await fan.goto(`${server.url}/e/late-socket`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await fan.locator("#map").click({ position: await spot(fan, "st-A-5") });
  await fan.locator("#chosen").getByText("Stalls, row A, seat 5").waitFor();
  await server.call("POST", "/api/v1/organiser/events/late-socket/seats/block", { seats: ["st-A-5"] });
  // The next version of the map is there, but the page was not told of it.
  for (let counts; counts?.blocked !== 1;)
    counts = (await server.call("GET", "/api/v1/events/late-socket/seats")).counts;
  open();
  await fan.getByText("Stalls, row A, seat 5 was just taken by another fan.").waitFor();
  sound(fan);
});

test("a page whose seating plan is replaced shows the new one", async () => {
  await server.event("rebuilt", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/rebuilt`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await server.call("PUT", "/api/v1/organiser/events/rebuilt/seating", {
    categories: [{ id: "up", name: "Upper ring", price: 3000 }],
    sections: [{ id: "up", category: "up", rows: 2, seats_per_row: 6 }],
  });
  await fan.locator("#category option").filter({ hasText: "Upper ring" }).waitFor({ state: "attached" });
  sound(fan);
});

test("the queue works without JavaScript: forms and a refresh", async () => {
  await server.event("plain", { paused: true });
  const fan = await person(browser, { javaScriptEnabled: false });
  await fan.goto(`${server.url}/e/plain`);
  await fan.getByRole("button", { name: "Join the line" }).click();
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  assert.match(await fan.content(), /http-equiv="refresh"/);
  await fan.getByText("Your number is 1.").waitFor();
  await shoot(fan, "queue-without-javascript");
  await server.call("PATCH", "/api/v1/organiser/events/plain", { paused: false });
  const turn = fan.getByRole("link", { name: "Go to the checkout" });
  await until(async () => {
    await fan.reload();
    return turn.isVisible();
  });
  await fan.getByRole("button", { name: "Leave the line" }).waitFor({ state: "hidden" });
});

test("pages without JavaScript say when the sale opens or what is missing, and load nothing for ever", async () => {
  const opens = new Date(Date.now() + 3600_000);
  const sale = new Date(opens.getTime() + 3600_000).toISOString();
  await server.event("later", { order: "draw", prequeue_opens_at: opens.toISOString(), sale_opens_at: sale });
  const fan = await person(browser, { javaScriptEnabled: false });
  await fan.goto(`${server.url}/e/later`);
  const minute = opens.toISOString().slice(11, 16);
  await fan
    .getByText(`It opens on`)
    .and(fan.getByText(`${minute} UTC`))
    .waitFor();
  for (const path of ["/organiser", "/api/docs", "/e/later/draw", "/e/later/seats", "/orders/ord_x"]) {
    await fan.goto(`${server.url}${path}`);
    // Texts of noscript are passed over by getByText.
    const text = await fan.locator("body").innerText();
    assert.match(text, /JavaScript/, path);
    assert.doesNotMatch(text, /Loading/, path);
  }
});

test("the queue works without WebSocket, by polling", async () => {
  await server.event("polling", { paused: true });
  const [fan, other] = [await person(browser), await person(browser)];
  await other.goto(`${server.url}/e/polling`);
  await other.getByRole("heading", { name: "You are next" }).waitFor();
  await fan.addInitScript(() => {
    delete globalThis.WebSocket;
  });
  await fan.goto(`${server.url}/e/polling`);
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  await other.getByRole("button", { name: "Leave the line" }).click();
  await other.getByRole("heading", { name: "You have left the line" }).waitFor();
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  sound(fan);
});

test("the whole journey works with the keyboard alone", async () => {
  await server.event("keys", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await person(browser);
  const press = (...keys) =>
    keys.reduce((before, key) => before.then(() => fan.keyboard.press(key)), Promise.resolve());
  const focus = async (selector) => {
    for (let steps = 0; steps < 60; steps++) {
      if (await fan.evaluate((s) => document.activeElement?.matches(s), selector)) return;
      await press("Tab");
    }
    assert.fail(`Tab does not reach ${selector}`);
  };
  await fan.goto(`${server.url}/e/keys`);
  await fan.getByRole("link", { name: "Go to the checkout" }).waitFor();
  await focus("#go");
  await press("Enter");
  await fan.getByText("left to shop").waitFor();
  await focus("#map");
  await press("ArrowRight", "ArrowRight", "ArrowDown", "Enter", "ArrowRight", "Enter");
  await fan.locator("#chosen li").nth(1).waitFor();
  await shoot(fan, "seats-keyboard");
  await focus("#hold");
  await press("Enter");
  await fan.getByText("Held for you for").waitFor();
  await focus("#buyer-name");
  await fan.keyboard.type("Keyboard Fan");
  await press("Tab");
  await fan.keyboard.type("keys@example.org");
  await press("Enter");
  await fan.getByLabel("Card number").waitFor();
  await focus("#card");
  await fan.keyboard.type("4242424242424242");
  await press("Enter");
  await fan.getByText(/Confirmed: /).waitFor();
  sound(fan);
});

test("a fan whose server is killed keeps the place and is told so", async () => {
  await server.event("outage", { paused: true });
  const [first, fan] = [await person(browser), await person(browser)];
  await first.goto(`${server.url}/e/outage`);
  await first.getByRole("heading", { name: "You are next" }).waitFor();
  await fan.goto(`${server.url}/e/outage`);
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  await server.kill();
  await fan.getByText(/The connection dropped. Your place is kept/).waitFor();
  await shoot(fan, "queue-connection-lost");
  const live = new Promise((done) => fan.on("websocket", (socket) => socket.once("framereceived", done)));
  await server.run();
  await live;
  await fan.getByText(/The connection dropped/).waitFor({ state: "hidden", timeout: 60_000 });
  assert.equal(await fan.locator("#number").textContent(), "2");
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  // A few tabs are live; one more says why it is not, and throws none of them out.
  for (let tabs = 0; tabs < 3; tabs++) {
    const tab = await fan.context().newPage();
    const opened = tab.waitForEvent("websocket");
    await tab.goto(`${server.url}/e/outage`);
    await (await opened).waitForEvent("framereceived");
  }
  const further = await fan.context().newPage();
  await further.goto(`${server.url}/e/outage`);
  await further.getByText(/open in several tabs or devices already/).waitFor();
  await further.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  sound(fan);
});

test("the other pages hold no surprises", async () => {
  await server.event("front-page");
  const visitor = await person(browser);
  await visitor.goto(server.url);
  await visitor.getByRole("link", { name: "The front-page show" }).waitFor();
  await accessible(visitor, "the front page");
  await visitor.goto(`${server.url}/api/docs`);
  await visitor.getByText("/api/v1/events/{event}/holds").first().waitFor();
  await accessible(visitor, "the API reader");
  await visitor.goto(`${server.url}/e/nothing-here`);
  await visitor.getByRole("heading", { name: "No such event" }).waitFor();
  await accessible(visitor, "a page that is not there");
  await visitor.goto(`${server.url}/organiser`);
  await visitor.getByRole("button", { name: "Sign in" }).waitFor();
  await accessible(visitor, "the sign-in");
  sound(visitor);
});

test("everything that the queue page loads is at most 15 kB compressed", async () => {
  await server.event("weight", { paused: true });
  const fan = await person(browser);
  const weight = await weigh(fan);
  await fan.goto(`${server.url}/e/weight`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  assert.ok(weight.bytes > 3000 && weight.bytes <= 15_000, `${weight.bytes} bytes with heads`);
});
