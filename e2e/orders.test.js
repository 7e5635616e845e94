// The console's list of orders: searched, filtered, page by page, exported.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { buy } from "./fan.js";
import { KEY, Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_VISITOR_REQUESTS_PER_SECOND: "0" }), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

test("an organiser finds an order by name among more than a page, and exports the door list", async () => {
  const id = "orders";
  await server.event(id, { admission: { rate_per_minute: 60000, batch_seconds: 1 } });
  const names = Array.from({ length: 52 }, (_, at) => `Fan ${at}`);
  const seats = names.map((_, at) => `st-${"AB"[Math.floor(at / 34)]}-${(at % 34) + 1}`);
  await Promise.all(names.map((name, at) => buy(server, id, [seats[at]], name)));
  const organiser = await person(browser);
  await organiser.goto(`${server.url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("link", { name: `The ${id} show` }).click();
  await organiser.getByRole("link", { name: "Orders", exact: true }).click();
  const rows = organiser.locator("tbody tr");
  await rows.nth(49).waitFor();
  assert.equal(await rows.count(), 50);
  await organiser.getByRole("button", { name: "More" }).click();
  await rows.nth(51).waitFor();
  assert.equal(await rows.count(), 52);
  assert.equal(await organiser.getByRole("button", { name: "More" }).isVisible(), false);
  await organiser.getByLabel("Name, address, order or seat").fill("fan 41");
  await organiser.getByRole("button", { name: "Search" }).click();
  await organiser.getByText("Fan 41 ada@example.org").waitFor();
  await rows.nth(1).waitFor({ state: "detached" });
  await accessible(organiser, "the orders");
  await organiser.getByRole("link", { name: /^ord_/ }).click();
  await organiser.getByText("Correct name or address").click();
  await organiser.getByLabel("Name").fill("Fan Forty-One");
  await organiser.getByRole("button", { name: "Correct", exact: true }).click();
  await organiser.getByText("Fan Forty-One, ada@example.org").waitFor();
  await accessible(organiser, "an order");
  await shoot(organiser, "console-order-corrected");
  await organiser.getByRole("link", { name: "Back to the sale" }).click();
  await organiser.getByRole("link", { name: "Orders", exact: true }).click();
  await organiser.getByLabel("Name, address, order or seat").fill("forty");
  await organiser.getByRole("button", { name: "Search" }).click();
  await organiser.getByText("Fan Forty-One ada@example.org").waitFor();
  await shoot(organiser, "console-orders");
  await organiser.getByLabel("State").selectOption("refunded");
  await organiser.getByRole("button", { name: "Search" }).click();
  await organiser.getByText("None.").waitFor();
  const link = organiser.getByRole("link", { name: "Door list, CSV" });
  const [download] = await Promise.all([organiser.waitForEvent("download"), link.click()]);
  assert.equal(download.suggestedFilename(), `${id}-door-list.csv`);
  const table = await readFile(await download.path(), "utf8");
  assert.equal(table.trim().split("\r\n").length, 53);
  const sheet = organiser.getByRole("link", { name: "Payments, XLSX" });
  const [payments] = await Promise.all([organiser.waitForEvent("download"), sheet.click()]);
  assert.equal(payments.suggestedFilename(), `${id}-payments.xlsx`);
  await organiser.setViewportSize({ width: 360, height: 740 });
  await shoot(organiser, "console-orders-360", { fullPage: true });
  sound(organiser);
});
