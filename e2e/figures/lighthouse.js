// Lighthouse's scores of the queue page, the seats and an order, as on a phone and at a desk.
import { launch as launchChrome } from "chrome-launcher";
import lighthouse, { desktopConfig } from "lighthouse";
import { chromium } from "playwright-core";
import { executable, launch } from "../browser.js";
import { orderInBrowser } from "../fan.js";
import { Server } from "../server.js";
import { rounds, tell } from "./figure.js";

/** Share of a full score under which an audit is named. */
const GOOD = 0.9;

/** A fan with an order and with a session elsewhere: the pages' addresses, and the cookies that open them. */
async function visit(server) {
  const admission = { rate_per_minute: 6000, batch_seconds: 1, max_active: 100 };
  await Promise.all([
    server.event("night", { admission }),
    server.event("shop", { admission }),
    server.event("later", { admission: { ...admission, rate_per_minute: 0 } }),
  ]);
  const browser = await launch();
  const fan = await orderInBrowser(browser, server, "night", 2);
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText(/Confirmed: /).waitFor();
  await fan.waitForURL("**/orders/**");
  const order = fan.url();
  await fan.goto(`${server.url}/e/shop`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByText("left to shop").waitFor();
  const cookies = await fan.context().cookies();
  await browser.close();
  return { pages: { queue: `${server.url}/e/later`, seats: `${server.url}/e/shop/seats`, order }, cookies };
}

/** Audits of a category that are short of a full score. */
const short = ({ audits }, { auditRefs }) =>
  auditRefs.filter(({ id, weight }) => weight > 0 && audits[id].score !== null && audits[id].score < GOOD);

async function measure(name, url, form, port) {
  const scores = new Map(),
    named = new Set();
  for (let round = 0; round < rounds; round++) {
    const flags = { port, logLevel: "error", disableStorageReset: true };
    const { lhr } = await lighthouse(url, flags, form === "desk" ? desktopConfig : undefined);
    const ended = new URL(lhr.finalDisplayedUrl).pathname;
    if (ended !== new URL(url).pathname) throw new Error(`${name} went to ${ended}`);
    for (const [id, category] of Object.entries(lhr.categories)) {
      scores.set(id, [...(scores.get(id) ?? []), category.score]);
      for (const audit of short(lhr, category)) named.add(audit.id);
    }
  }
  for (const [id, all] of scores) tell(`${name}, ${form}, ${id}`, all, 2);
  if (named.size) console.log(`          short in a round: ${[...named].join(", ")}`);
}

const server = await Server.start();
const { pages, cookies } = await visit(server);
const chrome = await launchChrome({ chromePath: executable, chromeFlags: ["--headless=new", "--no-sandbox"] });
const browser = await chromium.connectOverCDP(`http://127.0.0.1:${chrome.port}`);
await browser.contexts()[0].addCookies(cookies);
for (const [name, url] of Object.entries(pages))
  for (const form of ["phone", "desk"]) await measure(name, url, form, chrome.port);
await browser.close();
chrome.kill();
await server.end();
