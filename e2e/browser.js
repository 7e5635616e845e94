// Debian's Chromium, and what every browser test checks.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const shots = new URL("./shots/", import.meta.url).pathname;
mkdirSync(shots, { recursive: true });

/** The browser's program. */
export const executable = process.env.CHROMIUM || "/usr/bin/chromium";
const options = {
  executablePath: executable,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};
/** @param {string[]} more further arguments */
export const launch = (...more) => chromium.launch({ ...options, args: [...options.args, ...more] });
/** A browser of its own with the profile in a folder. */
export const launchWith = (folder) => chromium.launchPersistentContext(folder, options);

/** Asks again and again until something is so. @param {() => Promise<boolean>} isSo */
export async function until(isSo) {
  for (const end = Date.now() + 60_000; !(await isSo()); await new Promise((later) => setTimeout(later, 20)))
    if (Date.now() > end) throw new Error(`never: ${isSo}`);
}

/** A page of a person of their own, whose console must stay without errors. */
export async function person(browser, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1200, height: 820 },
    reducedMotion: "reduce",
    ...options,
  });
  return watched(await context.newPage());
}

/** A page whose errors are noted for `sound`. */
export function watched(page) {
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("console", (message) => {
    // A refusal (4xx) that the page handles is logged by the browser itself; a blocked script or style is not.
    const own = /Failed to load resource|WebSocket connection|ERR_CONNECTION|Opener-Policy header has been ignored/;
    if (message.type() === "error" && !own.test(message.text())) page.wrong.push(message.text());
  });
  page.on("dialog", (dialog) => dialog.accept());
  return page;
}

export function sound(page) {
  assert.deepEqual(page.wrong, []);
}

/** Counts the bytes that a page loads from now on, with heads, as they come over the wire. */
export async function weigh(page) {
  const client = await page.context().newCDPSession(page);
  await client.send("Network.enable");
  const weight = { bytes: 0 };
  client.on("Network.loadingFinished", (event) => {
    weight.bytes += event.encodedDataLength;
  });
  return weight;
}

/** Adds up how much moves on each page that is loaded from now on, in `globalThis.moved`. */
export const noteShifts = (page) =>
  page.addInitScript(() => {
    globalThis.moved = 0;
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) globalThis.moved += shift.value;
    }).observe({ type: "layout-shift", buffered: true });
  });

/** Nothing has moved on a page since it was loaded that is worth mentioning. */
export async function still(page) {
  const moved = await page.evaluate(() => globalThis.moved);
  assert.ok(moved < 0.02, `layout shift ${moved}`);
}

export const shoot = (page, name, options = {}) => page.screenshot({ path: `${shots}${name}.png`, ...options });

/** No violation of WCAG 2.2 AA that axe-core finds. */
export async function accessible(page, where) {
  // The pages' policy allows no injected script: axe is evaluated from outside.
  await page.evaluate(readFileSync(axe, "utf8"));
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  const shown = found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
  assert.deepEqual(shown, [], `violations on ${where}`);
  assert.ok(found.passes.length > 5, "axe looked at the page");
}

/** Loads the queue page of an event until it has a link of this name, and returns the link. */
export async function offered(page, queue, name) {
  const link = page.getByRole("link", { name });
  await until(async () => {
    await page.goto(queue);
    await page.locator("#leave button, #leave a").last().waitFor();
    return await link.isVisible();
  });
  return link;
}

/** Returns whether nothing is wider than the screen. */
export const isNarrow = (page) => page.evaluate("document.documentElement.scrollWidth <= innerWidth");
