// The organiser's console when something does not work.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound, until } from "./browser.js";
import { buy } from "./fan.js";
import { KEY, Server, freePort } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([
    Server.start({
      FAIRLINE_ORGANISER_KEYS: "vi:viewer:viewer-key-0123456789",
      FAIRLINE_VISITOR_REQUESTS_PER_SECOND: "0",
      FAIRLINE_LISTN: "127.0.0.1:1",
    }),
    launch(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** Opens the dashboard of the sale. */
async function open(key) {
  const page = await person(browser);
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "The evening show" }).click();
  await page.getByText("waiting", { exact: true }).waitFor();
  return page;
}

test("a viewer is shown the figures and nothing that a viewer may not do", async () => {
  await server.event("evening");
  const viewer = await open("viewer-key-0123456789");
  assert.equal(await viewer.getByRole("heading", { name: "Newest orders" }).isVisible(), true);
  assert.equal(await viewer.locator("main button:visible").count(), 0);
  assert.equal(await viewer.locator("main form").count(), 0);
  await viewer.getByRole("link", { name: "Sales", exact: true }).click();
  await viewer.getByRole("link", { name: "The evening show" }).waitFor();
  assert.equal(await viewer.getByRole("link", { name: "New sale" }).filter({ visible: true }).count(), 0);
  sound(viewer);
});

test("a proxy that does not fit the settings is named on the page of the health", async () => {
  const admin = await person(browser);
  await admin.goto(`${server.url}/organiser`);
  await admin.getByLabel("Organiser key").fill(KEY);
  await admin.getByRole("button", { name: "Sign in" }).click();
  await admin.getByRole("link", { name: "Health" }).click();
  await admin.getByText("noticed nothing").waitFor();
  await admin.getByText("FAIRLINE_LISTN is not known and has no effect; did you mean FAIRLINE_LISTEN?").waitFor();
  const heads = { "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https" };
  await fetch(`${server.url}/api/v1/events`, { headers: heads });
  await admin.getByRole("link", { name: "Sales", exact: true }).click();
  await admin.getByRole("link", { name: "See what to change." }).click();
  const row = (setting) => admin.getByRole("row").filter({ has: admin.getByText(setting, { exact: true }) });
  await row("FAIRLINE_TRUSTED_HOPS").getByText("is not believed").waitFor();
  await row("FAIRLINE_PUBLIC_URL").getByText("https", { exact: true }).waitFor();
  assert.equal(await admin.getByText("203.0.113.9").count(), 0);
  await accessible(admin, "health");
  await shoot(admin, "console-health");
  sound(admin);
});

test("the page of the health says how many events wait for the message broker, and why", async () => {
  const shop = await Server.start({ FAIRLINE_EVENTS: `nats://127.0.0.1:${await freePort()}` });
  try {
    await shop.event("night");
    await until(async () => Boolean((await shop.call("GET", "/api/v1/organiser/relay")).last_refusal));
    const admin = await person(browser);
    await admin.goto(`${shop.url}/organiser#/health`);
    await admin.getByLabel("Organiser key").fill(KEY);
    await admin.getByRole("button", { name: "Sign in" }).click();
    const card = admin.locator("section").filter({ has: admin.getByRole("heading", { name: "The message broker" }) });
    await card.getByText("1 event waits for NATS, the oldest for").waitFor();
    await card.getByText("Events are not published, and wait: NATS: ").waitFor();
    await card.getByText("Last refusal").waitFor();
    await accessible(admin, "relay");
    sound(admin);
  } finally {
    await shop.end();
  }
});

test("a page that is loaded late does not replace the one that was asked for since", async () => {
  const admin = await open(KEY);
  const held = [];
  const events = "**/api/v1/organiser/events";
  await admin.route(events, (route) => held.push(route));
  const asked = admin.waitForRequest(events);
  await admin.getByRole("link", { name: "Sales", exact: true }).click();
  await asked;
  await admin.getByRole("link", { name: "Audit log" }).click();
  await admin.getByRole("heading", { name: "Audit log" }).waitFor();
  const answered = admin.waitForResponse("**/proxy-signs");
  await held[0].continue();
  await (await answered).finished();
  // The browser has taken the answer by the time it answers this.
  await admin.evaluate(() => new Promise((done) => setTimeout(done, 0)));
  assert.equal(await admin.getByRole("heading", { level: 1 }).textContent(), "Audit log");
  sound(admin);
});

test("a viewer sees the tickets sold an hour and takes the figures as CSV", async () => {
  await server.event("sold", { admission: { rate_per_minute: 60000, batch_seconds: 1 } });
  await buy(server, "sold", ["st-A-1", "st-A-2"]);
  const hourly = "/api/v1/organiser/events/sold/sales/hourly";
  const heads = { headers: { authorization: `Bearer ${KEY}` } };
  const counted = async () => (await (await fetch(`${server.url}${hourly}`, heads)).json()).hours.length;
  await until(async () => Boolean(await counted()));
  const viewer = await open("viewer-key-0123456789");
  await viewer.goto(`${server.url}/organiser#/event/sold`);
  const card = viewer.locator("section").filter({ has: viewer.getByRole("heading", { name: "Tickets sold an hour" }) });
  await card.getByText("2 tickets sold, 0 void again; 0 holds expired.").waitFor();
  assert.equal(await card.locator(".bar").count(), 7 * 24);
  const words = await card.locator(".bar title").allTextContents();
  assert.equal(words.filter((text) => text.endsWith(": 2 tickets, 1 order")).length, 1);
  await card.getByLabel("Time").selectOption("24 hours");
  await card.locator(".bar").nth(24).waitFor({ state: "detached" });
  assert.equal(await card.locator(".bar").count(), 24);
  const download = viewer.waitForEvent("download");
  await card.getByRole("link", { name: "Download CSV" }).click();
  const file = await download;
  assert.equal(file.suggestedFilename(), "sold-hourly-sales.csv");
  const text = await readFile(await file.path(), "utf8");
  assert.equal(text.trim().split("\r\n").length, 1 + 24);
  await accessible(viewer, "the dashboard");
  await shoot(viewer, "console-hourly-sales");
  sound(viewer);
});

test("a viewer reads how many came from the line to a ticket and takes the figures as CSV", async () => {
  await server.event("way", { admission: { rate_per_minute: 60000, batch_seconds: 1 } });
  await buy(server, "way", ["st-A-1"]);
  const line = `${server.url}/api/v1/events/way/line`;
  const ask = async (method, path, bearer) => {
    const heads = { ...(bearer && { authorization: `Bearer ${bearer}` }) };
    return fetch(`${line}${path}`, { method, headers: heads });
  };
  const { pass } = await (await ask("POST", "")).json();
  await until(async () => Boolean((await (await ask("GET", "/me", pass)).json()).token));
  assert.equal((await ask("DELETE", "/me", pass)).status, 204);
  const total = async () => (await server.call("GET", "/api/v1/organiser/events/way/sales/funnel")).total;
  await until(async () => {
    const { finished, left, buyers } = await total();
    return Boolean(finished && left && buyers);
  });
  const viewer = await open("viewer-key-0123456789");
  await viewer.goto(`${server.url}/organiser#/event/way`);
  const heading = viewer.getByRole("heading", { name: "From the line to a ticket" });
  const card = viewer.locator("section").filter({ has: heading });
  await card.getByText(/^Half waited at most 1 minute, .*the average is less than a minute\.$/).waitFor();
  const rows = await card.getByRole("row").evaluateAll((all) => all.map((row) => row.innerText.trim().split(/\t/)));
  assert.deepEqual(rows, [
    ["Step", "Number", "Of those admitted"],
    ["Admitted", "2", "100%"],
    ["Missed their turn", "0", "0%"],
    ["Came, and their visit is over", "1", "50%"],
    ["Finished: bought, or ended the visit", "1", "50%"],
    ["Ran out of time", "0", "0%"],
    ["Left", "1", "50%"],
    ["Ejected", "0", "0%"],
    ["Buyers with a confirmed order", "1", "50%"],
  ]);
  await card.getByText("Fans who gave up while they waited leave no trace").waitFor();
  const download = viewer.waitForEvent("download");
  await card.getByRole("link", { name: "Download CSV" }).click();
  const file = await download;
  assert.equal(file.suggestedFilename(), "way-funnel.csv");
  const text = await readFile(await file.path(), "utf8");
  assert.equal(text.trim().split("\r\n").length, 1 + 7 * 24);
  await accessible(viewer, "the funnel");
  await shoot(viewer, "console-funnel");
  sound(viewer);
});

test("buttons of the dashboard say what went wrong", async () => {
  const admin = await open(KEY);
  await server.kill();
  await admin.getByRole("button", { name: "Pause" }).click();
  await admin.getByRole("alert").filter({ hasText: "The server cannot be reached" }).waitFor();
  assert.equal(await admin.getByRole("button", { name: "Pause" }).isVisible(), true);
  const silence = admin.getByText(/^No news from the server since/);
  await silence.waitFor();
  sound(admin);
  await server.run();
  await silence.waitFor({ state: "hidden" });
});
