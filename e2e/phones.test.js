// Phones as they are: wrong clocks, connections that die in silence, browsers that refuse cookies, storage and
// notifications.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, launch, launchWith, person, shoot, sound, until, watched } from "./browser.js";
import { Cookieless, Wire } from "./proxy.js";
import { Server } from "./server.js";

let server, browser, wire, cookieless;
before(async () => {
  [wire, cookieless] = await Promise.all([Wire.start(), Cookieless.start()]);
  [server, browser] = await Promise.all([
    Server.start({ FAIRLINE_ALLOWED_ORIGINS: `${wire.url},${cookieless.url}` }),
    launch(),
  ]);
  wire.target = cookieless.target = server.port;
});
after(async () => {
  await browser?.close();
  wire?.end();
  cookieless?.end();
  await server?.end();
});

const quick = { admission: { rate_per_minute: 6000, batch_seconds: 1 } };
const sales = (event) => server.call("GET", `/api/v1/organiser/events/${event}/sales`);
const stats = (event) => server.call("GET", `/api/v1/organiser/events/${event}/stats`);
const open = (event) => server.call("PATCH", `/api/v1/organiser/events/${event}`, { paused: false, ...quick });

/** Sets the page's clock off; `moveClock(ms)` in the page moves it later. */
const setClock = (page, ms) =>
  page.addInitScript((ms) => {
    const Real = Date;
    let off = ms;
    globalThis.moveClock = (by) => {
      off += by;
    };
    globalThis.Date = class extends Real {
      constructor(...given) {
        if (given.length) super(...given);
        else super(Real.now() + off);
      }
      static now() {
        return Real.now() + off;
      }
    };
  }, ms);

/** Counts what the page asks of the line. */
function countJoins(page) {
  const seen = { made: 0, sent: 0, asked: 0 };
  page.on("response", (answer) => {
    const { pathname } = new URL(answer.url()),
      method = answer.request().method();
    if (method === "POST" && pathname.endsWith("/line")) {
      seen.sent++;
      seen.made += Number(answer.status() === 201);
    }
    if (method === "GET" && pathname.endsWith("/line/me")) seen.asked++;
  });
  return seen;
}

async function buy(fan, name) {
  await fan.getByLabel("Name").fill(name);
  await fan.getByLabel("E-mail").fill("fan@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText(/Confirmed: /).waitFor();
  await fan
    .getByRole("img", { name: /QR code/ })
    .first()
    .waitFor();
}

for (const [name, ms, zone] of [
  ["five minutes fast", 300_000, "Asia/Kathmandu"],
  ["five minutes slow", -300_000, "America/St_Johns"],
  ["a day fast", 86_400_000, "Pacific/Kiritimati"],
]) {
  test(`a fan whose clock is ${name} sees the time that is left, and buys`, async () => {
    const event = `clock-${ms > 0 ? "plus" : "minus"}-${Math.abs(ms)}`;
    await server.event(event, { paused: true });
    const fan = await person(browser, { timezoneId: zone });
    await setClock(fan, ms);
    await fan.goto(`${server.url}/e/${event}`);
    await fan.getByRole("heading", { name: "You are next" }).waitFor();
    await open(event);
    await fan.getByText(/Come within (2:00|1:[345]\d)/).waitFor();
    await fan.getByRole("link", { name: "Go to the checkout" }).click();
    await fan.getByText(/^(9|10|11|12):\d\d left to shop/).waitFor();
    await fan.getByRole("button", { name: "Find and hold" }).click();
    await fan.getByText(/Held for you for (2:00|1:[345]\d)/).waitFor();
    await buy(fan, "Wrong Clock");
    assert.equal((await sales(event)).booked, 2);
    sound(fan);
  });
}

test("a clock that jumps while a fan shops changes nothing but that the page asks again", async () => {
  await server.event("jump", quick);
  const fan = await person(browser);
  await setClock(fan, 0);
  await fan.goto(`${server.url}/e/jump`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  for (const ms of [3_600_000, -7_200_000]) {
    const asked = fan.waitForResponse((answer) => /\/holds\/hold_/.test(answer.url()));
    await fan.evaluate((ms) => globalThis.moveClock(ms), ms);
    await asked;
    await fan.getByText(/Held for you for (2:00|1:[345]\d)/).waitFor();
  }
  assert.equal((await sales("jump")).held, 2);
  await buy(fan, "Jumping Clock");
  sound(fan);
});

test("a hold that ran out is dropped when the server says so, with a clock that is slow as well", async () => {
  await server.event("ran-out", quick);
  await server.call("PATCH", "/api/v1/organiser/events/ran-out/checkout", { hold_seconds: 3, hold_max_seconds: 60 });
  const fan = await person(browser);
  await setClock(fan, -300_000);
  await fan.goto(`${server.url}/e/ran-out`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText(/Held for you for 0:0\d/).waitFor();
  await fan.getByText("Your hold ran out and the seats went back. Choose again.").waitFor();
  assert.equal((await sales("ran-out")).held, 0);
  sound(fan);
});

test("a socket that died in silence is noticed: the turn is not missed, and the map goes on", async () => {
  await server.event("silent", { paused: true });
  await server.event("silent-map", quick);
  const shopper = await person(browser);
  await shopper.goto(`${wire.url}/e/silent-map`);
  await shopper.getByRole("link", { name: "Go to the checkout" }).click();
  await shopper.getByText("left to shop").waitFor();
  await shopper.getByRole("button", { name: "As a list" }).click();
  await shopper.locator("#list summary").filter({ hasText: "Stalls" }).click();
  const [patient, back] = [await person(browser), await person(browser)];
  const ticks = new Promise((heard) =>
    patient.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => /"tick"/.test(payload) && heard())),
  );
  await patient.goto(`${wire.url}/e/silent`);
  await patient.getByRole("heading", { name: "You are next" }).waitFor();
  await ticks;
  await back.goto(`${wire.url}/e/silent`);
  await back.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  wire.freeze();
  await server.call("POST", "/api/v1/organiser/events/silent-map/seats/block", { seats: ["st-A-5"] });
  await open("silent");
  // A fan who comes back to a network is told at once.
  await back.evaluate(() => dispatchEvent(new Event("online")));
  await back.getByRole("heading", { name: "It is your turn" }).waitFor({ timeout: 60_000 });
  // Nothing happens to the others but that nothing is heard, for ten seconds at most.
  await patient.getByRole("heading", { name: "It is your turn" }).waitFor({ timeout: 60_000 });
  // The map is fetched again, first on up to six connections that are dead as well.
  await shopper.getByRole("button", { name: /row A, seat 5,.* blocked$/ }).waitFor({ timeout: 60_000 });
  for (const fan of [patient, back]) {
    const hasAdmission = async () =>
      (await fan.context().cookies()).some((cookie) => cookie.name === "fairline_admission_silent");
    // It comes with an answer, which is asked for on the dead connections first.
    await until(hasAdmission);
  }
  for (const fan of [patient, back, shopper]) sound(fan);
});

test("a notification that throws breaks nothing of the turn", async () => {
  await server.event("throws", { paused: true });
  const fan = await person(browser);
  await fan.addInitScript(() => {
    globalThis.Notification = class {
      constructor() {
        throw new TypeError("Illegal constructor");
      }
      static get permission() {
        return "granted";
      }
    };
    globalThis.AudioContext = class {
      constructor() {
        throw new Error("no sound");
      }
    };
    navigator.vibrate = () => {
      throw new Error("no vibration");
    };
  });
  await fan.goto(`${server.url}/e/throws`);
  await fan.getByRole("heading", { name: "You are next" }).click();
  const admitted = fan.waitForResponse((answer) => answer.url().endsWith("/line/me"));
  await open("throws");
  await fan.getByRole("heading", { name: "It is your turn" }).waitFor();
  await admitted;
  await fan.getByRole("link", { name: "Go to the checkout" }).waitFor();
  assert.match(await fan.title(), /^▶ It is your turn/);
  assert.equal(await fan.locator("#live").textContent(), "It is your turn");
  assert.ok((await fan.context().cookies()).some((cookie) => cookie.name === "fairline_admission_throws"));
  sound(fan);
});

test("a notification is offered only where it can be shown", async () => {
  await server.event("offered", { paused: true });
  for (const works of [true, false]) {
    const fan = await person(browser);
    await fan.addInitScript((works) => {
      globalThis.Notification = class {
        constructor() {
          if (!works) throw new TypeError("Illegal constructor");
        }
        static get permission() {
          return "default";
        }
      };
    }, works);
    await fan.goto(`${server.url}/e/offered`);
    await fan.getByText("ahead of you").or(fan.getByText("You are next")).first().waitFor();
    assert.equal(await fan.getByRole("button", { name: "Tell me when it is my turn" }).isVisible(), works);
    sound(fan);
  }
});

test("a fan whose cookies do not come back has one place, is told so, and buys", async () => {
  await server.event("no-cookies", { paused: true });
  const fan = await person(browser);
  const seen = countJoins(fan);
  await fan.goto(`${cookieless.url}/e/no-cookies`);
  await fan
    .getByText("Your browser does not send our cookies back. Your place is kept as long as this tab stays open")
    .waitFor();
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  await accessible(fan, "the queue without cookies");
  await shoot(fan, "queue-without-cookies");
  for (let reloads = 0; reloads < 3; reloads++) {
    await fan.reload();
    const asked = seen.asked;
    for (let polls = 0; polls < 2; polls++)
      await fan.waitForResponse((answer) => answer.url().endsWith("/line/me") && answer.status() === 200);
    assert.ok(seen.asked > asked);
    await fan.getByRole("heading", { name: "You are next" }).waitFor();
  }
  assert.deepEqual([seen.sent, seen.made, (await stats("no-cookies")).waiting], [1, 1, 1]);
  await open("no-cookies");
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  await fan.reload();
  await buy(fan, "No Cookies");
  assert.equal((await sales("no-cookies")).booked, 2);
  assert.equal(seen.sent, 1);
  sound(fan);
});

test("where the shop is behind a gate, a fan without cookies is told that it needs them", async () => {
  await server.event("gated", { paused: true, checkout_url: "https://shop.example/tickets" });
  const fan = await person(browser);
  await fan.goto(`${cookieless.url}/e/gated`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  await open("gated");
  await fan.getByRole("heading", { name: "It is your turn" }).waitFor();
  await fan.getByText("Allow cookies for this site, then reload this page").waitFor();
  assert.equal(await fan.getByRole("link", { name: "Go to the checkout" }).isVisible(), false);
  await accessible(fan, "the turn without cookies");
  await shoot(fan, "turn-without-cookies");
  sound(fan);
});

test("with all cookies and storage blocked the page keeps one place over reloads, and says what it needs", async () => {
  await server.event("blocked", { paused: true });
  const folder = await mkdtemp(join(tmpdir(), "fairline-chromium-"));
  await mkdir(join(folder, "Default"));
  await writeFile(
    join(folder, "Default", "Preferences"),
    JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }),
  );
  const context = await launchWith(folder);
  try {
    const fan = watched(await context.newPage());
    const seen = countJoins(fan);
    await fan.goto(`${server.url}/e/blocked`);
    assert.equal(
      await fan.evaluate(() => {
        try {
          return sessionStorage.length;
        } catch (refused) {
          return refused.name;
        }
      }),
      "SecurityError",
    );
    for (let loads = 0; loads < 3; loads++) {
      await fan.getByRole("heading", { name: "You are next" }).waitFor();
      await fan.getByText("Allow cookies for this site, then reload this page: your place is kept").waitFor();
      await fan.reload();
    }
    await fan.getByRole("heading", { name: "You are next" }).waitFor();
    await shoot(fan, "queue-all-blocked");
    assert.deepEqual([seen.made, (await stats("blocked")).waiting], [1, 1]);
    sound(fan);
  } finally {
    await context.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test("a page whose place is gone does not join again by itself", async () => {
  await server.event("anew", { paused: true });
  const fan = await person(browser);
  const seen = countJoins(fan);
  await fan.goto(`${server.url}/e/anew`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  await server.call("DELETE", "/api/v1/organiser/events/anew");
  await server.event("anew", { paused: true });
  await fan.getByRole("heading", { name: "We cannot find your place" }).waitFor();
  await accessible(fan, "a place that is gone");
  await shoot(fan, "place-gone");
  assert.deepEqual([seen.sent, (await stats("anew")).waiting], [1, 0]);
  await fan.getByRole("button", { name: "Join the line" }).click();
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  sound(fan);
});

test("a reload while the place cannot be asked for joins nothing, for fans who left and fans who wait", async () => {
  for (const [event, leaves] of [
    ["away-left", true],
    ["away-waits", false],
  ]) {
    await server.event(event, { paused: true });
    const fan = await person(browser);
    const seen = countJoins(fan);
    await fan.goto(`${server.url}/e/${event}`);
    await fan.getByRole("heading", { name: "You are next" }).waitFor();
    const next = await person(browser);
    await next.goto(`${server.url}/e/${event}`);
    await next.getByRole("heading", { name: "1 ahead of you" }).waitFor();
    if (leaves) {
      await fan.getByRole("button", { name: "Leave the line" }).click();
      await fan.getByRole("heading", { name: "You have left the line" }).waitFor();
    }
    // The line is away, then the network: nothing of it is heard by a socket either.
    let failed = 0;
    await fan.routeWebSocket("**/line/ws", (socket) => {
      if (failed < 3) socket.close();
      else socket.connectToServer();
    });
    await fan.route("**/line/me", (route) => {
      if (failed === 3) return route.continue();
      return failed++ === 1
        ? route.abort()
        : route.fulfill({ status: 503, contentType: "application/problem+json", body: "{}" });
    });
    await fan.reload();
    // The page itself says so, not only the server that made it.
    await fan
      .locator("#live")
      .filter({ hasText: leaves ? "You have left the line" : "You are next" })
      .waitFor({ state: "attached" });
    assert.deepEqual([failed, seen.sent, (await stats(event)).waiting], [3, 1, leaves ? 1 : 2]);
    sound(fan);
    sound(next);
  }
});

test("the way on is shown once the browser has the admission, not before", async () => {
  await server.event("early", { paused: true });
  const fan = await person(browser);
  await fan.goto(`${server.url}/e/early`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  const held = [];
  let holds = true;
  await fan.route("**/line/me", (route) => (holds ? held.push(route) : route.continue()));
  const hasAdmission = async () =>
    (await fan.context().cookies()).some((cookie) => cookie.name === "fairline_admission_early");
  await open("early");
  await fan.getByRole("heading", { name: "It is your turn" }).waitFor();
  const go = fan.getByRole("link", { name: "Go to the checkout" });
  assert.deepEqual([await go.isVisible(), await hasAdmission()], [false, false]);
  holds = false;
  for (const route of held) await route.continue();
  await go.waitFor();
  assert.ok(held.length && (await hasAdmission()));
  sound(fan);
});

test("a fan whom an overloaded server refuses gets through by waiting", async () => {
  await server.event("busy", quick);
  const fan = await person(browser);
  const refusals = {};
  await fan.route("**/api/v1/**", (route) => {
    const path = new URL(route.request().url()).pathname.replace(/(hold|ord|pay)_[^/]*/, "id");
    const asked = `${route.request().method()} ${path}`;
    refusals[asked] = (refusals[asked] ?? 0) + 1;
    if (refusals[asked] > 2) return route.continue();
    return route.fulfill({
      status: 503,
      contentType: "application/problem+json",
      headers: { "Retry-After": "0" },
      body: JSON.stringify({ type: "/problems/overloaded", title: "Too busy", status: 503 }),
    });
  });
  await fan.goto(`${server.url}/e/busy`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByLabel("Name").fill("Ada");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").fill("4242424242424242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.waitForURL(/\/orders\//);
  assert.equal((await sales("busy")).booked, 2);
  for (const asked of ["POST /api/v1/events/busy/line", "GET /api/v1/events/busy/seating", "POST /api/v1/orders"])
    assert.ok(refusals[asked] > 2, asked);
});

test("a session whose answer was lost is opened again, also after a reload", async () => {
  await server.event("lost", quick);
  const fan = await person(browser);
  let lost = 0;
  await fan.route("**/events/lost/sessions", async (route) => {
    if (route.request().method() !== "POST" || lost === 2) return route.continue();
    lost++;
    const headers = await route.request().allHeaders();
    // The server has it; the browser never hears so.
    const answer = await fetch(route.request().url(), {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Cookie: headers.cookie,
        Origin: headers.origin,
        "Idempotency-Key": headers["idempotency-key"] ?? "",
      },
      body: "{}",
    });
    assert.equal(answer.status, 201);
    await route.abort();
  });
  await fan.goto(`${server.url}/e/lost`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("The server cannot be reached").waitFor();
  await fan.reload();
  await fan.getByText("left to shop").waitFor();
  assert.equal(lost, 2);
  assert.match(fan.url(), /\/seats$/);
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  sound(fan);
});
