// The README's pictures, from the demo with a small crowd: the queue, the map, the tickets, the dashboard.
import { spawn } from "node:child_process";
import { launch, person } from "./browser.js";

const folder = new URL("../docs/pictures/", import.meta.url).pathname;
const port = 18480 + Math.floor(Math.random() * 100);
const env = { ...process.env, FAIRLINE_LISTEN: `127.0.0.1:${port}`, FAIRLINE_OPS_LISTEN: "127.0.0.1:0" };
const demo = spawn(process.env.FAIRLINE_BINARY, ["demo", "--crowd", "350"], { env, stdio: ["ignore", "pipe", "inherit"] });
let said = "";
const addresses = new Promise((found) => demo.stdout.on("data", (text) => { said += text; if (said.includes("Ctrl-C")) found(said); }));
const browser = await launch();
try {
  const [, fanUrl, organiserUrl] = (await addresses).match(/Fan\s+(\S+)[\s\S]*Organiser\s+(\S+)/);
  const fan = await person(browser, { viewport: { width: 1100, height: 760 } });
  await new Promise((later) => setTimeout(later, 4000));
  await fan.goto(fanUrl);
  await fan.getByText(/ahead of you/).first().waitFor();
  await fan.waitForFunction(() => /min|s$/.test(document.getElementById("eta")?.textContent ?? "") && parseFloat(document.getElementById("fill").style.width) >= 40, null, { timeout: 120_000 });
  await fan.screenshot({ path: `${folder}queue.png` });
  const organiser = await person(browser, { viewport: { width: 1280, height: 900 } });
  await organiser.goto(organiserUrl);
  await organiser.getByRole("link", { name: /Opening Night/ }).click();
  await fan.getByRole("link", { name: "Go to the checkout" }).click({ timeout: 180_000 });
  await fan.getByText("left to shop").waitFor();
  await fan.setViewportSize({ width: 1280, height: 860 });
  await fan.locator("#category").selectOption("stalls");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Held for you for").waitFor();
  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-mail for the tickets").fill("ada@example.org");
  await fan.screenshot({ path: `${folder}seats.png` });
  await fan.getByRole("button", { name: "Go on to payment" }).click();
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: "Pay", exact: true }).click();
  await fan.getByText(/Confirmed: /).waitFor();
  await fan.setViewportSize({ width: 1100, height: 560 });
  await fan.screenshot({ path: `${folder}tickets.png` });
  // A draw among a small crowd, and the page that checks it.
  const api = (/** @type {string} */ path, /** @type {any} */ body) => organiser.evaluate(async ([path, body]) => (await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).status, [path, body]);
  const opens = new Date(Date.now() + 6000).toISOString();
  await api("/api/v1/organiser/events", { id: "drawn", name: "The Draw", order: "draw", prequeue_opens_at: new Date().toISOString(), sale_opens_at: opens, admission: { rate_per_minute: 0 } });
  const drawn = await person(browser, { viewport: { width: 1100, height: 900 } });
  await drawn.goto(`http://127.0.0.1:${port}/e/drawn`);
  for (let more = 0; more < 25; more++) await fetch(`http://127.0.0.1:${port}/api/v1/events/drawn/line`, { method: "POST" });
  await drawn.locator("#number").filter({ hasText: /^\d+$/ }).waitFor();
  await drawn.goto(`http://127.0.0.1:${port}/e/drawn/draw`);
  await drawn.getByRole("button", { name: "Check it in this browser" }).click();
  await drawn.getByText("The draw was held as promised.").waitFor();
  await drawn.screenshot({ path: `${folder}draw.png` });
  await organiser.waitForTimeout(60_000);
  await organiser.screenshot({ path: `${folder}dashboard.png` });
} finally {
  await browser.close();
  demo.kill("SIGINT");
}
