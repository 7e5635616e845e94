// Webhooks in the console: one is added, tried, fails, and is posted to again.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { freePort, KEY, Server } from "./server.js";

let server, browser, receiver, port;
const posted = [];
let status = 200;
before(async () => {
  port = await freePort();
  receiver = createServer((request, answer) => {
    posted.push(request.headers["webhook-id"]);
    request.resume().on("end", () => answer.writeHead(status).end(status === 200 ? "thank you" : "<b>not now</b>"));
  }).listen(port, "127.0.0.1");
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_WEBHOOK_NETWORKS: "127.0.0.1" }), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
  receiver?.close();
});

/** Looks again until something is there. */
async function look(page, locator) {
  for (let tries = 0; tries < 200 && !(await locator.count()); tries++) {
    await page.getByRole("button", { name: "Look again" }).click();
    await page.waitForTimeout(50);
  }
  await locator.first().waitFor();
}

/** Looks at the page on a phone, where nothing is wider than it. */
async function onPhone(page, name) {
  const size = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  await shoot(page, name, { fullPage: true });
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(excess, 0);
  await accessible(page, name);
  await page.setViewportSize(size);
}

test("an organiser adds a webhook, tries it, and posts again what failed", async () => {
  const page = await person(browser, { locale: "en-US" });
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "Messages" }).click();
  await page.getByLabel("Name").fill("Loyalty");
  await page.getByLabel("Address (https)").fill("https://10.0.0.1/hooks");
  await page.getByRole("button", { name: "Add it" }).click();
  await page.getByText("a host with a public address").waitFor();
  await page.getByLabel("Address (https)").fill(`http://127.0.0.1:${port}/hooks`);
  await page.getByLabel(/^Types/).fill("order.* ticket.issued");
  await page.getByRole("button", { name: "Add it" }).click();
  await page.getByText(/^whsec_/).waitFor();
  await page.getByText("order.*, ticket.issued of all sales.").waitFor();
  await shoot(page, "webhooks");
  await onPhone(page, "webhooks-phone");
  status = 500;
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("heading", { name: "Deliveries" }).waitFor();
  await look(page, page.getByText("500 <b>not now</b>"));
  assert.equal(new Set(posted).size, 1);
  status = 200;
  await look(page, page.getByText("200 thank you"));
  await page.getByText(/^Delivered .* attempts$/).waitFor();
  await shoot(page, "deliveries");
  await onPhone(page, "deliveries-phone");
  const before = posted.length;
  await page.getByRole("button", { name: "Send again" }).click();
  await look(page, page.getByText(/^Delivered .*, 1 attempt$/));
  assert.deepEqual([posted.length, new Set(posted).size], [before + 1, 1]);
  status = 410;
  await page.getByRole("button", { name: "Send again" }).click();
  await look(page, page.getByText("410 <b>not now</b>"));
  await page.getByRole("link", { name: "All webhooks" }).click();
  await page.getByText("Nothing is posted any more: it answered 410 Gone.").waitFor();
  await page.getByRole("link", { name: "Health" }).click();
  await page.getByText("Nothing is posted to Loyalty any more").waitFor();
  await page.getByRole("link", { name: "Messages" }).click();
  await page.getByRole("button", { name: "Turn on" }).click();
  await page.getByRole("button", { name: "Turn off" }).waitFor();
  await page.getByRole("button", { name: "New secret" }).click();
  await page.getByText(/The secret before signs as well until/).waitFor();
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByText("None yet.").waitFor();
  sound(page);
});
