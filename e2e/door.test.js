// Two doors: tickets are checked in with a connection and without one, and what both let in is told.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { buy } from "./fan.js";
import { Server } from "./server.js";

const DOOR = "door-key-0123456789";
let server, browser;
before(async () => {
  [server, browser] = await Promise.all([
    Server.start({ FAIRLINE_ORGANISER_KEYS: `gate:door:${DOOR}`, FAIRLINE_VISITOR_REQUESTS_PER_SECOND: "0" }),
    launch(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** Opens the page of a door. */
async function open(event, name, options = {}) {
  const page = await person(browser, { viewport: { width: 360, height: 740 }, ...options });
  await page.goto(`${server.url}/door/${event}`);
  await page.getByLabel("Key of this door").fill(DOOR);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Name of the door").fill(name);
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByText("Works without a connection").waitFor();
  return page;
}

async function scan(page, code) {
  await page.getByLabel("Code of the ticket").fill(code);
  await page.getByRole("button", { name: "Check in" }).click();
}

test("a ticket comes in once, and the other door reads when and where", async () => {
  await server.event("first", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const order = await buy(server, "first", ["st-A-1", "st-A-2"]);
  const [one, two] = order.tickets.map((ticket) => ticket.code);
  const north = await open("first", "North");
  const south = await open("first", "South", { viewport: { width: 1280, height: 820 } });
  await shoot(north, "door-before");
  await scan(north, one);
  await north.getByText("Come in").waitFor();
  assert.equal(await north.locator("#detail").innerText(), "Stalls, row A, seat 1");
  await north.getByText("1 of 2").waitFor();
  await accessible(north, "a door");
  await shoot(north, "door-in");
  await scan(south, one);
  await south.getByText("Used already").waitFor();
  assert.match(await south.locator("#detail").innerText(), /^at \d.* at the door North$/);
  await shoot(south, "door-used");
  await server.call("POST", `/api/v1/organiser/events/first/orders/${order.id}/refund`, { seats: ["st-A-2"] });
  await scan(south, two);
  await south.getByText("This ticket was given back.").waitFor();
  await scan(south, `${one}x`);
  await south.getByText("No such ticket").waitFor();
  await scan(south, order.tickets[0].short_code);
  await south.getByText("Used already").waitFor();
  await scan(south, one.replace(".first.", ".other."));
  await south.getByText("This ticket is for other.").waitFor();
  sound(north);
  sound(south);
});

test("a key of a door that signs in at the console is shown the way to its page", async () => {
  await server.event("way");
  const page = await person(browser);
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(DOOR);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "The way show" }).click();
  await page.getByLabel("Name of the door").waitFor();
  await shoot(page, "door-name");
  sound(page);
});

test("two doors without a connection decide by the list, and what both let in is told afterwards", async () => {
  await server.event("away", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const order = await buy(server, "away", ["st-A-1", "st-A-2", "st-A-3"]);
  const [one, two, three] = order.tickets.map((ticket) => ticket.code);
  await server.call("POST", `/api/v1/organiser/events/away/orders/${order.id}/refund`, { seats: ["st-A-3"] });
  const north = await open("away", "North");
  const south = await open("away", "South");
  const late = (await buy(server, "away", ["st-B-1"])).tickets[0].code;
  for (const door of [north, south]) await door.context().setOffline(true);
  await scan(north, one);
  await north.getByText("Come in").waitFor();
  await north.getByText("No connection").waitFor();
  assert.equal(await north.locator("#waiting").innerText(), "1");
  await scan(north, one);
  await north.getByText("Used already").waitFor();
  await scan(north, three);
  await north.getByText("This ticket was given back.").waitFor();
  await scan(
    north,
    two.replace(/\.(.)([^.]*)$/, (_, first, rest) => `.${first === "A" ? "B" : "A"}${rest}`),
  );
  await north.getByText("No such ticket").waitFor();
  await scan(north, late);
  await north.getByText("Sold since the list was fetched").waitFor();
  await shoot(north, "door-away");
  await north.reload();
  await north.getByText("Works without a connection").waitFor();
  assert.equal(await north.locator("#waiting").innerText(), "2");
  await scan(south, one);
  await south.getByText("Come in").waitFor();
  await north.context().setOffline(false);
  await north.locator("#waiting", { hasText: /^0$/ }).waitFor();
  await south.context().setOffline(false);
  await south.getByText("Let in twice").waitFor();
  assert.match(
    await south.locator("#conflicts li").innerText(),
    /^Stalls, row A, seat 1, let in here at .*\. Used already: at .* at the door North$/,
  );
  await shoot(south, "door-conflict", { fullPage: true });
  const figures = await server.call("GET", "/api/v1/organiser/events/away/checkins");
  assert.deepEqual([figures.tickets, figures.checked_in], [3, 2]);
  assert.deepEqual(figures.doors, [{ door: "North", checked_in: 2 }]);
  sound(north);
  sound(south);
});

test("a door that signs out without a connection is told that it is still signed in", async () => {
  await server.event("out", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  await buy(server, "out", ["st-A-1"]);
  const door = await open("out", "North");
  const signOut = door.getByRole("button", { name: "Sign out" });
  await door.context().setOffline(true);
  await signOut.click();
  await door.getByText("Still signed in").waitFor();
  await door.getByText("The server cannot be reached. Sign out again later.").waitFor();
  assert.equal(await door.getByLabel("Key of this door").isVisible(), false);
  await door.context().setOffline(false);
  await signOut.click();
  await door.getByLabel("Key of this door").waitFor();
  await door.reload();
  await door.getByLabel("Key of this door").waitFor();
  sound(door);
});

test("two tabs of one phone keep each other's scans, and each knows who came in by the other", async () => {
  await server.event("tabs", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const order = await buy(server, "tabs", ["st-A-1", "st-A-2"]);
  const [one, two] = order.tickets.map((ticket) => ticket.code);
  const first = await open("tabs", "North");
  const second = await first.context().newPage();
  await second.goto(first.url());
  await second.getByText("Works without a connection").waitFor();
  await first.context().setOffline(true);
  await scan(first, one);
  await first.getByText("Come in").waitFor();
  await second.locator("#waiting", { hasText: /^1$/ }).waitFor();
  await scan(second, one);
  await second.getByText("Used already").waitFor();
  await scan(second, two);
  await second.getByText("Come in").waitFor();
  await first.locator("#waiting", { hasText: /^2$/ }).waitFor();
  await second.close();
  await first.reload();
  await first.getByText("Works without a connection").waitFor();
  assert.equal(await first.locator("#waiting").innerText(), "2");
  await first.context().setOffline(false);
  await first.locator("#waiting", { hasText: /^0$/ }).waitFor();
  const figures = await server.call("GET", "/api/v1/organiser/events/tabs/checkins");
  assert.deepEqual(figures.doors, [{ door: "North", checked_in: 2 }]);
  sound(first);
});

test("a browser whose storage is full says that it keeps no scans, and sends them all the same", async () => {
  await server.event("full", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const order = await buy(server, "full", ["st-A-1"]);
  const door = await open("full", "North");
  await door.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  });
  await door.context().setOffline(true);
  await scan(door, order.tickets[0].code);
  await door.getByText("Come in").waitFor();
  await door.getByText("This browser keeps no scans.").waitFor();
  await shoot(door, "door-full");
  await scan(door, order.tickets[0].code);
  await door.getByText("Used already").waitFor();
  await door.context().setOffline(false);
  await door.locator("#waiting", { hasText: /^0$/ }).waitFor();
  assert.equal(await door.getByText("This browser keeps no scans.").isVisible(), false);
  const figures = await server.call("GET", "/api/v1/organiser/events/full/checkins");
  assert.deepEqual(figures.doors, [{ door: "North", checked_in: 1 }]);
  sound(door);
});

test("a door is in German where its browser is, also without a connection, until another language is chosen", async () => {
  await server.event("einlass", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const order = await buy(server, "einlass", ["st-A-1", "st-A-2"]);
  const [one, two] = order.tickets.map((ticket) => ticket.code);
  const door = await person(browser, { locale: "de-DE", viewport: { width: 320, height: 700 } });
  const check = async (code) => {
    await door.getByLabel("Code des Tickets").fill(code);
    await door.getByRole("button", { name: "Einlassen" }).click();
  };
  await door.goto(`${server.url}/door/einlass`);
  await door.getByLabel("Schlüssel dieses Eingangs").fill(DOOR);
  await shoot(door, "german-door-key");
  await door.getByRole("button", { name: "Anmelden" }).click();
  await door.getByLabel("Name des Eingangs").fill("Nord");
  await door.getByRole("button", { name: "Beginnen" }).click();
  await door.getByText("Funktioniert auch ohne Verbindung: 2 Tickets, Stand").waitFor();
  await check(one);
  await door.getByText("Willkommen").waitFor();
  await door.getByText("1 von 2").waitFor();
  await accessible(door, "a door in German");
  await shoot(door, "german-door-in", { fullPage: true });
  await check(one);
  await door.getByText("Schon eingelöst").waitFor();
  assert.match(await door.locator("#detail").innerText(), /^um \d\d:\d\d Uhr am Eingang Nord$/);
  await door.context().setOffline(true);
  await door.reload();
  await door.getByText("Keine Verbindung").waitFor();
  await check(two);
  await door.getByText("Willkommen").waitFor();
  await shoot(door, "german-door-away", { fullPage: true });
  const wide = await door.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 320, `the door is ${wide} px wide`);
  await door.context().setOffline(false);
  await door.locator("#waiting", { hasText: /^0$/ }).waitFor();
  await door.getByRole("link", { name: "English" }).click();
  await door.getByText("Works without a connection").waitFor();
  // Without the choice in its address: the browser remembers it, and the phone as well.
  await door.goto(`${server.url}/door/einlass`);
  await door.getByText("Works without a connection").waitFor();
  await door.context().setOffline(true);
  await door.reload();
  await door.getByText("No connection").waitFor();
  sound(door);
});

test("an address of a door without a sale is a page", async () => {
  const page = await person(browser);
  await page.goto(`${server.url}/door/No%20such`);
  await page.getByRole("heading", { name: "No such event" }).waitFor();
});
