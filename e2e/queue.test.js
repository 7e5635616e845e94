// The queue page of a fan who waits: how long, how far, and whether what it shows is live.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, noteShifts, person, sound, still, until } from "./browser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const join = (event) =>
  fetch(`${server.url}/api/v1/events/${event}/line`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: "{}",
  });

/** Waits until those who join are told a wait and the seats; the first ones of a new line are not. */
async function told(/** @type {string} */ event) {
  await until(async () => {
    const place = await (await join(event)).json();
    return place.eta_seconds !== null && place.seats_available !== null;
  });
}

test("the wait stands first, then the place, how far it is, and that the page is live", async () => {
  await server.event("wait", { admission: { rate_per_minute: 30, batch_seconds: 1, max_active: 500 } });
  for (let fan = 0; fan < 40; fan++) assert.equal((await join("wait")).status, 201);
  const fan = await person(browser, { viewport: { width: 360, height: 740 } });
  await fan.goto(`${server.url}/e/wait`);
  await fan.getByRole("heading", { name: /^\d\d ahead of you$/ }).waitFor();
  await fan
    .locator("#eta")
    .filter({ hasText: /^(about )?\d+ (s|min)|^\d+ to \d+ (s|min)$/ })
    .waitFor();
  const [began, now] = await Promise.all(
    ["#began", "#heading"].map(async (id) => Number((await fan.locator(id).textContent()).match(/\d+/)[0])),
  );
  assert.ok(began >= now && began <= 40, `${began} ahead at first, ${now} now`);
  await fan.waitForFunction((began) => {
    const done = Number(document.querySelector("#track").getAttribute("aria-valuenow"));
    const ahead = Number(document.querySelector("#heading").textContent.match(/\d+/)[0]);
    return done > 0 && done === Math.round((1 - ahead / began) * 100);
  }, began);
  await fan.getByText(/^Live · updated \d s ago$/).waitFor();
  await accessible(fan, "the wait");
  await server.call("PATCH", "/api/v1/organiser/events/wait", { paused: true });
  await fan.getByText("The line is paused for the moment.").waitFor();
  assert.equal(await fan.locator("#eta").isVisible(), false, "no wait is told while the line is paused");
  sound(fan);
});

const VIEWPORTS = /** @type {const} */ ([
  ["a phone", { width: 360, height: 740 }],
  ["a screen", { width: 1280, height: 900 }],
]);

for (const [name, viewport] of VIEWPORTS)
  test(`nothing jumps when the page comes and shows the first place on ${name}`, async () => {
    const event = `first-${viewport.width}`;
    await server.event(event, { admission: { rate_per_minute: 1, batch_seconds: 60, max_active: 500 } });
    for (let fan = 0; fan < 12; fan++) assert.equal((await join(event)).status, 201);
    await told(event);
    const fan = await person(browser, { viewport });
    await noteShifts(fan);
    await fan.goto(`${server.url}/e/${event}`);
    await fan.getByRole("heading", { name: /ahead of you$/ }).waitFor();
    await fan.getByText(/^Live · updated 1 s ago/).waitFor();
    await still(fan);
    sound(fan);
  });

for (const [name, viewport] of VIEWPORTS)
  test(`nothing jumps when the turn comes on ${name}`, async () => {
    const event = `steady-${viewport.width}`;
    await server.event(event, { admission: { rate_per_minute: 60, batch_seconds: 1, max_active: 1 } });
    const first = await (await join(event)).json();
    const fan = await person(browser, { viewport });
    await fan.goto(`${server.url}/e/${event}`);
    await fan.getByRole("heading", { name: "You are next" }).waitFor();
    await fan.getByText(/^Live · updated/).waitFor();
    await fan.evaluate(() => {
      globalThis.moved = 0;
      globalThis.from = Infinity;
      new PerformanceObserver((list) => {
        for (const shift of list.getEntries()) if (shift.startTime >= globalThis.from) globalThis.moved += shift.value;
      }).observe({ type: "layout-shift" });
      const wait = document.querySelector("#eta");
      const tell = () => {
        [wait.hidden, wait.textContent] = [false, "about 2 min"];
      };
      // A page that tells a wait changes more; this one tells none, and draws itself anew each second.
      const telling = setInterval(tell, 20);
      tell();
      new MutationObserver(() => {
        if (globalThis.from < Infinity || !document.querySelector(".turn")) return;
        clearInterval(telling);
        globalThis.from = performance.now();
      }).observe(document.body, { attributes: true, attributeFilter: ["class"], subtree: true });
    });
    await fetch(`${server.url}/api/v1/events/${event}/line/me`, {
      method: "DELETE",
      headers: { Authorization: `Bearer ${first.pass}` },
    });
    await fan.getByRole("link", { name: "Go to the checkout" }).waitFor();
    // The clock and the strip are as they stay.
    await fan.getByText(/^Live · updated 1 s ago/).waitFor();
    const moved = await fan.evaluate(() => globalThis.moved);
    assert.ok(moved < 0.02, `layout shift ${moved}`);
    await accessible(fan, `the turn on ${name}`);
    sound(fan);
  });

test("a line that is over promises no place", async () => {
  await server.event("past", { closes_at: new Date(Date.now() + 1500).toISOString() });
  const phase = async () => (await (await fetch(`${server.url}/api/v1/events/past`)).json()).phase;
  await until(async () => (await phase()) === "closed");
  for (const javaScriptEnabled of [true, false]) {
    const fan = await person(browser, { javaScriptEnabled });
    await fan.goto(`${server.url}/e/past`);
    await fan.getByRole("heading", { name: "The sale is over" }).waitFor();
    await fan.getByText("What happens next").waitFor({ state: "hidden" });
    await fan.context().close();
  }
});

test("texts that do not come hold up neither a join nor a place", async () => {
  await server.event("slow-texts", { admission: { rate_per_minute: 1, batch_seconds: 60, max_active: 1 } });
  for (let fan = 0; fan < 2; fan++) assert.equal((await join("slow-texts")).status, 201);
  const fan = await person(browser, { viewport: { width: 360, height: 740 } });
  // They are asked for, and never answered.
  let asked = 0;
  await fan.route("**/static/texts-*.json", () => void asked++);
  await fan.route(
    "**/api/v1/events/slow-texts/line",
    (route) =>
      route.fulfill({
        status: 429,
        contentType: "application/problem+json",
        body: JSON.stringify({ type: "/problems/too-many-requests", title: "Too many requests", status: 429 }),
      }),
    { times: 1 },
  );
  await fan.goto(`${server.url}/e/slow-texts`);
  await fan.getByRole("heading", { name: /ahead of you$|You are next/ }).waitFor();
  assert.ok(asked > 0, "the texts were not asked for");
  const dialog = fan.waitForEvent("dialog");
  await fan.getByRole("button", { name: "Leave the line" }).click();
  assert.match((await dialog).message(), /^Leave the line/);
  await fan.getByRole("heading", { name: "…", exact: true }).waitFor();
});
