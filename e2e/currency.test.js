// Prices in currencies with other than two decimals, on every page that shows one; and what a viewer's console shows.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, person, shoot, sound } from "./browser.js";
import { KEY, Server } from "./server.js";

const VIEWER = "viewer-Key-0f3a96c1";
let server, browser;
before(async () => {
  [server, browser] = await Promise.all([
    Server.start({ FAIRLINE_ORGANISER_KEYS: `press:viewer:${VIEWER}` }),
    launch(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

async function console(key) {
  const page = await person(browser, { locale: "en-US" });
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  return page;
}

for (const { currency, one, two } of [
  { currency: "JPY", one: "¥6,500", two: "¥13,000" },
  { currency: "KWD", one: "KWD 6.500", two: "KWD 13.000" },
  { currency: "EUR", one: "€65.00", two: "€130.00" },
]) {
  test(`prices in ${currency} are shown with its decimals from the map to the ticket`, async () => {
    const id = `night-${currency.toLowerCase()}`;
    await server.event(id, { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
    await server.call("PATCH", `/api/v1/organiser/events/${id}/checkout`, { currency });
    const fan = await person(browser, { locale: "en-US" });
    await fan.goto(`${server.url}/e/${id}`);
    await fan.getByRole("link", { name: "Go to the checkout" }).click();
    // Intl writes a no-break space after a code.
    const shown = async (text) =>
      fan.waitForFunction((text) => document.body.innerText.replaceAll("\u00a0", " ").includes(text), text);
    await shown(`Stalls ${one}`);
    await fan.getByLabel("How many").fill("2");
    await fan.locator("#category").selectOption("stalls");
    await fan.getByRole("button", { name: "Find and hold" }).click();
    await shown(two);
    await shoot(fan, `currency-${currency}`);
    await fan.getByLabel("Name").fill("Ada");
    await fan.getByLabel("E-mail").fill("ada@example.org");
    await fan.getByRole("button", { name: "Continue to payment" }).click();
    await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
    await fan.getByRole("button", { name: /^Pay / }).click();
    await fan.locator(".ticket").first().waitFor();
    await shown(`${two} paid`);
    await shown(one);
    sound(fan);
    const organiser = await console(KEY);
    await organiser.getByRole("link", { name: `The ${id} show` }).click();
    await organiser.getByRole("cell", { name: two }).waitFor();
    await organiser.getByRole("cell", { name: "Ada ada@example.org" }).waitFor();
    sound(organiser);
  });
}

test("a viewer's console lists orders without their buyers", async () => {
  const viewer = await console(VIEWER);
  await viewer.getByRole("link", { name: "The night-eur show" }).click();
  await viewer.getByRole("cell", { name: "€130.00" }).waitFor();
  assert.equal(await viewer.getByText("ada@example.org").count(), 0);
  sound(viewer);
});
