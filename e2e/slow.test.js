// Slow phones on slow networks: what a fan waits for is round trips, one after the other.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, person, sound, weigh } from "./browser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const ROUND_TRIP_SECONDS = 0.4;
const BYTES_PER_SECOND = 50_000;
/** A name, a connection and TLS cost a round trip each before the first request. The emulation does not slow them. */
const ROUND_TRIPS_BEFORE = 3;

/** A fan with a sixth of this machine's speed, on 400 kbit/s with 400 ms a round trip. */
async function slowFan() {
  const fan = await person(browser, { viewport: { width: 390, height: 844 } });
  const devtools = await fan.context().newCDPSession(fan);
  await devtools.send("Network.enable");
  // Nothing is known from before: an answer of the cache would seem to come before other requests.
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  await devtools.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: ROUND_TRIP_SECONDS * 1000,
    downloadThroughput: BYTES_PER_SECOND,
    uploadThroughput: BYTES_PER_SECOND,
  });
  await devtools.send("Emulation.setCPUThrottlingRate", { rate: 6 });
  return fan;
}

/** Notes the round of each request of a page: one more than that of whatever was answered before it was sent. */
function countRounds(fan) {
  const rounds = new Map();
  let answered = 0;
  fan.on("request", (request) => {
    if (request.isNavigationRequest()) {
      rounds.clear();
      answered = 0;
    }
    rounds.set(request, answered + 1);
  });
  fan.on("response", (response) => {
    answered = Math.max(answered, rounds.get(response.request()) ?? 0);
  });
  /** The rounds of all requests for a path. */
  const of = (method, path) =>
    [...rounds].flatMap(([request, round]) =>
      request.method() === method && new URL(request.url()).pathname === path ? [round] : [],
    );
  /** The number of rounds that were answered. */
  of.answered = () => answered;
  return of;
}

/** The seconds that the network takes at least, and this machine's speed has no part in. */
function networkSeconds(rounds, bytes) {
  return (ROUND_TRIPS_BEFORE + rounds.answered()) * ROUND_TRIP_SECONDS + bytes / BYTES_PER_SECOND;
}

/** Asserts that the network takes at most this long, and tells how long it was with this machine. */
function assertQuick(t, what, most, { rounds, bytes, began }) {
  const seconds = networkSeconds(rounds, bytes);
  const whole = ((performance.now() - began) / 1000).toFixed(1);
  const told = `${what}: ${seconds.toFixed(1)} s of network (${rounds.answered()} rounds, ${bytes} bytes), ${whole} s here`;
  t.diagnostic(told);
  assert.ok(seconds <= most, told);
}

test("a fan has a place after the page, its scripts and one question", async (t) => {
  await server.event("slow", { paused: true });
  const fan = await slowFan();
  const rounds = countRounds(fan);
  const weight = await weigh(fan);
  const began = performance.now();
  await fan.goto(`${server.url}/e/slow`, { waitUntil: "commit" });
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  // Of five seconds in all, the rest is left to the phone.
  assertQuick(t, "a place", 3.5, { rounds, bytes: weight.bytes, began });
  assert.deepEqual(rounds("GET", "/e/slow"), [1]);
  for (const script of ["queue", "api"]) assert.deepEqual(rounds("GET", `/static/${script}.js`), [2], script);
  assert.deepEqual(rounds("POST", "/api/v1/events/slow/line"), [3]);
  assert.deepEqual(rounds("GET", "/api/v1/events/slow/line/me"), [], "nothing is asked for first");
  sound(fan);
});

test("an admitted fan can choose seats after the page, its scripts, one set of questions and the session", async (t) => {
  await server.event("slow-seats", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await slowFan();
  await fan.goto(`${server.url}/e/slow-seats`);
  const go = fan.getByRole("link", { name: "Go to the checkout" });
  await go.waitFor();
  const rounds = countRounds(fan);
  const weight = await weigh(fan);
  const began = performance.now();
  await go.click();
  await fan.locator("#best button:enabled").waitFor();
  // Of ten seconds in all, the rest is left to the phone.
  assertQuick(t, "usable seats", 6, { rounds, bytes: weight.bytes, began });
  const base = "/api/v1/events/slow-seats";
  assert.deepEqual(rounds("GET", "/e/slow-seats/seats"), [1]);
  for (const script of ["seats", "api", "make", "money", "map", "seat-list", "session"])
    assert.deepEqual(
      rounds("GET", `/static/${script}.js`).filter((round) => round > 2),
      [],
      script,
    );
  const questions = [
    base,
    `${base}/seating`,
    `${base}/seats`,
    `${base}/sessions`,
    `${base}/line/me`,
    "/api/v1/currencies",
  ];
  for (const path of questions) assert.deepEqual(rounds("GET", path).slice(0, 1), [3], path);
  assert.deepEqual(rounds("POST", `${base}/sessions`), [4]);
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  sound(fan);
});
