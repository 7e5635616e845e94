// The README's pictures, from the demo with a small crowd: the queue, the map, the tickets, the dashboard.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { launch, person, sound } from "./browser.js";

const folder = new URL("../docs/pictures/", import.meta.url).pathname;
const port = 18480 + Math.floor(Math.random() * 100);
const env = { ...process.env, FAIRLINE_LISTEN: `127.0.0.1:${port}`, FAIRLINE_OPS_LISTEN: "127.0.0.1:0" };
const demo = spawn(process.env.FAIRLINE_BINARY, ["demo", "--crowd", "350"], {
  env,
  stdio: ["ignore", "pipe", "inherit"],
});

/** The largest share of one colour in a picture that shows something. */
const PLAIN_MAX = 0.9;

/** Returns the share of a picture that has its most frequent colour. */
const plainShare = (/** @type {any} */ page, /** @type {Buffer} */ png) =>
  page.evaluate(async (/** @type {string} */ data) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))]));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height),
      context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const counts = new Map();
    const pixels = new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer);
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    return Math.max(...counts.values()) / pixels.length;
  }, png.toString("base64"));

/**
 * Takes a picture, but not without what it is of: these elements, wholly in view and with their images, and more than
 * one plain colour.
 */
async function take(/** @type {any} */ page, /** @type {string} */ name, /** @type {any[]} */ ...needed) {
  const view = page.viewportSize();
  for (const locator of needed) {
    await locator.first().waitFor();
    for (const element of await locator.all()) {
      const box = await element.boundingBox();
      assert.ok(
        box && box.y >= 0 && box.y + box.height <= view.height && box.x >= 0 && box.x + box.width <= view.width,
        `${locator} is not in the picture ${name}`,
      );
    }
  }
  await page.waitForFunction(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0));
  const png = await page.screenshot();
  const share = await plainShare(page, png);
  assert.ok(share < PLAIN_MAX, `the picture ${name} is blank: ${Math.round(share * 100)} % are of one colour`);
  sound(page);
  await writeFile(`${folder}${name}.png`, png);
}

let said = "";
const addresses = new Promise((found) =>
  demo.stdout.on("data", (text) => {
    said += text;
    if (said.includes("Ctrl-C")) found(said);
  }),
);
const browser = await launch();
try {
  const [, fanUrl, organiserUrl] = (await addresses).match(/Fan\s+(\S+)[\s\S]*Organiser\s+(\S+)/);
  const fan = await person(browser, { viewport: { width: 1100, height: 900 } });
  await new Promise((later) => setTimeout(later, 4000));
  await fan.goto(fanUrl);
  await fan
    .getByText(/ahead of you/)
    .first()
    .waitFor();
  await fan.waitForFunction(
    () =>
      /min|s$/.test(document.getElementById("eta")?.textContent ?? "") &&
      parseFloat(document.getElementById("fill").style.width) >= 40,
    null,
    { timeout: 120_000 },
  );
  await take(fan, "queue", fan.locator("#place"));
  const organiser = await person(browser, { viewport: { width: 1280, height: 900 } });
  await organiser.goto(organiserUrl);
  await organiser.getByRole("link", { name: /Opening Night/ }).click();
  await fan.getByRole("link", { name: "Go to the checkout" }).click({ timeout: 180_000 });
  await fan.getByText("left to shop").waitFor();
  await fan.setViewportSize({ width: 1280, height: 1280 });
  await fan.locator("#category").selectOption("stalls");
  await take(fan, "seats", fan.locator("#map"), fan.locator("#best button:enabled"));
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText(/Confirmed: /).waitFor();
  await fan.setViewportSize({ width: 1100, height: 1000 });
  await take(fan, "tickets", fan.locator(".ticket"), fan.getByRole("img", { name: /QR code/ }));
  // A draw among a small crowd, and the page that checks it.
  const api = (/** @type {string} */ path, /** @type {any} */ body) =>
    organiser.evaluate(
      async ([path, body]) =>
        (
          await fetch(path, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
          })
        ).status,
      [path, body],
    );
  const opens = new Date(Date.now() + 6000).toISOString();
  await api("/api/v1/organiser/events", {
    id: "drawn",
    name: "The Draw",
    order: "draw",
    prequeue_opens_at: new Date().toISOString(),
    sale_opens_at: opens,
    admission: { rate_per_minute: 0 },
  });
  const drawn = await person(browser, { viewport: { width: 1100, height: 900 } });
  await drawn.goto(`http://127.0.0.1:${port}/e/drawn`);
  for (let more = 0; more < 25; more++)
    await fetch(`http://127.0.0.1:${port}/api/v1/events/drawn/line`, { method: "POST" });
  await drawn.locator("#number").filter({ hasText: /^\d+$/ }).waitFor();
  await drawn.goto(`http://127.0.0.1:${port}/e/drawn/draw`);
  await drawn.getByRole("button", { name: "Check it in this browser" }).click();
  await drawn.getByText("The draw was held as promised.").waitFor();
  await take(drawn, "draw", drawn.locator("#commitment"));
  await organiser.waitForTimeout(60_000);
  await take(organiser, "dashboard", organiser.locator(".tiles"));
} finally {
  await browser.close();
  demo.kill("SIGINT");
}
