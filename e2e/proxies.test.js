// A site behind the gate, in a real browser behind each of the five proxies: one shop, one Redis, three nodes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, person, sound } from "./browser.js";
import { Proxy, names } from "./proxies.js";
import { Server, programs } from "./server.js";

const SITE = "http://shop.test";
/** A page of the shop, with what addresses may hold. */
const DEEP = `${SITE}/tickets/a%2Fb/caf%C3%A9;v=1/~x?x=1&y=%26%2B+%23&z=%27q%27&r=//evil.example/%25&k[]=|&e=`;
const BASKET = `${SITE}/basket?of=me&return_to=/%26`;

/** A shop that knows nothing of the gate; its pages say what was asked for. */
const shop = createServer(async (asked, answer) => {
  let body = "";
  for await (const part of asked) body += part;
  const { method, url, headers } = asked;
  const told = JSON.stringify({ method, url, body, visitor: headers["x-fairline-visitor"] });
  if (url.endsWith(".svg")) return answer.writeHead(200, { "Content-Type": "image/svg+xml" }).end(picture);
  if (!headers.accept?.startsWith("text/html")) return answer.end(told);
  const shown = told.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
  answer.end(`<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="/icon.svg">
    <pre id="asked">${shown}</pre><img src="/static/logo.svg" alt="Logo"><a href="${BASKET}">Basket</a>
    <form method="post" action="/api/cart?row=%26"><input name="seat" value="A &amp; 1"><button>Buy</button></form>`);
});
const picture = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';

let folder, redis, nodes, proxies;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fairline-gate-"));
  const store = ["--port", "0", "--unixsocket", join(folder, "redis"), "--save", "", "--dir", folder];
  redis = spawn("redis-server", store, { stdio: "ignore" });
  await new Promise((ready) => shop.listen(0, "127.0.0.1", () => ready()));
  const secret = "0123456789abcdef0123456789abcdef";
  const settings = {
    FAIRLINE_LINE: `redis+unix://${join(folder, "redis")}`,
    FAIRLINE_PASS_SECRET: `pass-${secret}`,
    FAIRLINE_SERVICE_KEY: `service-${secret}`,
    FAIRLINE_PUBLIC_URL: SITE,
    FAIRLINE_TRUSTED_HOPS: "1",
  };
  const node = () => Server.start(settings, join(programs, "waiting-room"));
  nodes = await Promise.all([node(), node(), node()]);
  const site = /** @type {any} */ (shop.address()).port;
  const where = { folder, nodes: nodes.map((node) => node.port), site };
  proxies = await Promise.all(names.map((name) => Proxy.start(name, where)));
  for (const proxy of proxies) {
    const admission = { rate_per_minute: 60_000, batch_seconds: 1 };
    const event = { id: proxy.name, name: proxy.name, checkout_url: "/", paused: true, admission };
    await nodes[0].call("POST", "/api/v1/organiser/events", event);
  }
  await Promise.all(
    proxies.map(async (proxy) => {
      await proxy.ready();
      proxy.browser = await launch(`--host-resolver-rules=MAP shop.test 127.0.0.1:${proxy.port}`);
    }),
  );
});
after(async () => {
  await Promise.all((proxies ?? []).map((proxy) => Promise.all([proxy.browser?.close(), proxy.end()])));
  await Promise.all((nodes ?? []).map((node) => node.end()));
  redis?.kill("SIGKILL");
  shop.close();
  shop.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});

/** The same behind each proxy, at the same time. */
const each = (t, run) => Promise.all(proxies.map((proxy) => t.test(proxy.name, () => run(proxy))));
const atOnce = { concurrency: names.length, timeout: 90_000 };

const change = (proxy, settings) => nodes[0].call("PATCH", `/api/v1/organiser/events/${proxy.name}`, settings);

/** What the shop was asked for the page that is shown. */
const asked = async (fan) => JSON.parse(await fan.locator("#asked").textContent());

/** The fan is at the queue page that leads back to `goal`. */
function isQueue(fan, proxy, goal) {
  const { origin, pathname, searchParams } = new URL(fan.url());
  assert.equal(origin + pathname, `${SITE}/.fairline/e/${proxy.name}`);
  assert.equal(SITE + searchParams.get("return_to"), goal);
}

/** From the turn to a page of the shop. */
async function go(fan, proxy, goal) {
  await fan.getByRole("heading", { name: "It is your turn" }).waitFor();
  // The page shows the turn while it asks for the admission.
  const admission = `fairline_admission_${proxy.name}`;
  while (!(await fan.context().cookies()).some((cookie) => cookie.name === admission)) await fan.waitForTimeout(20);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.locator("#asked").waitFor();
  assert.equal(fan.url(), goal);
  const { method, url, visitor } = await asked(fan);
  assert.deepEqual({ method, url }, { method: "GET", url: goal.slice(SITE.length) });
  assert.match(visitor, /^vis_/);
}

/** A page with its picture, requests of its script, and a form. */
async function shops(fan) {
  await fan.goto(DEEP);
  assert.equal(fan.url(), DEEP);
  const found = await fan.evaluate(async () => {
    const paths = Array.from({ length: 12 }, (_, at) => `/api/products?page=${at}`);
    const answers = await Promise.all(paths.map((path) => fetch(path)));
    const forged = { "X-Fairline-Visitor": "vis_forged" };
    const changed = await fetch("/api/cart", { method: "PUT", body: "é", headers: forged });
    return {
      logo: document.images[0].naturalWidth,
      statuses: answers.map((it) => it.status),
      put: await changed.json(),
    };
  });
  assert.equal(found.logo, 9);
  assert.deepEqual(found.statuses, Array(12).fill(200));
  const { visitor } = await asked(fan);
  assert.deepEqual(found.put, { method: "PUT", url: "/api/cart", body: "é", visitor });
  await fan.getByRole("button", { name: "Buy" }).click();
  await fan.locator("#asked", { hasText: '"method":"POST"' }).waitFor();
  const { url, body } = await asked(fan);
  assert.deepEqual({ url, body }, { url: "/api/cart?row=%26", body: "seat=A+%26+1" });
}

test("a fan who opens a page of the shop waits, has a turn, and arrives at this very page", atOnce, (t) =>
  each(t, async (proxy) => {
    const fan = await person(proxy.browser);
    proxy.fan = fan;
    const opened = fan.waitForEvent("websocket");
    await fan.goto(DEEP);
    isQueue(fan, proxy, DEEP);
    await fan.getByRole("heading", { name: "You are next" }).waitFor();
    const socket = await opened;
    const turn = socket.waitForEvent("framereceived", (frame) => String(frame.payload).includes('"state":"admitted"'));
    await change(proxy, { paused: false });
    await turn;
    await go(fan, proxy, DEEP);
  }),
);

test("the fan shops", atOnce, (t) =>
  each(t, async ({ name, fan }) => {
    await shops(fan);
    const cookies = await fan.context().cookies();
    const client = cookies.find((cookie) => cookie.name === `fairline_client_${name}`);
    assert.equal(client?.httpOnly, true, "this browser is told from others by a cookie");
  }),
);

test("the fan shops on while the line's store does not answer, and no stranger comes in", atOnce, async (t) => {
  redis.kill("SIGSTOP");
  try {
    await each(t, async (proxy) => {
      await shops(proxy.fan);
      const stranger = await person(proxy.browser);
      await stranger.goto(DEEP);
      isQueue(stranger, proxy, DEEP);
      await stranger.context().close();
    });
  } finally {
    redis.kill("SIGCONT");
  }
});

test("the fan shops on when a node is killed", atOnce, async (t) => {
  await nodes.shift().end();
  await each(t, ({ fan }) => shops(fan));
});

test("a fan whose time is up is led back to the queue, and with another turn to the page asked for", atOnce, (t) =>
  each(t, async (proxy) => {
    await change(proxy, { admission: { claim_seconds: 12, session_seconds: 1 } });
    const fan = await person(proxy.browser);
    await fan.goto(DEEP);
    await go(fan, proxy, DEEP);
    await fan.evaluate(async () => {
      while ((await fetch("/api/products")).ok) await new Promise((later) => setTimeout(later, 250));
    });
    await fan.getByRole("link", { name: "Basket" }).click();
    await fan.getByRole("button", { name: "Join the line" }).click();
    isQueue(fan, proxy, BASKET);
    await go(fan, proxy, BASKET);
    await shops(proxy.fan);
    for (const page of [fan, proxy.fan]) sound(page);
  }),
);
