// An order with a fee and an included tax, from the map to the invoice and the refund in the console.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, person, shoot, sound } from "./browser.js";
import { KEY, Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** The texts of a list's lines. @param {import("playwright").Locator} list */
const lines = async (list) =>
  (await list.locator("li").allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());

test("a fan sees every fee and tax before paying, pays the total, and gets an invoice", async () => {
  const id = "fees";
  await server.event(id, { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  await server.call("PATCH", `/api/v1/organiser/events/${id}/checkout`, {
    fees: [
      { name: "Service", per: "ticket", percent: "2.5" },
      { name: "Booking fee", per: "order", amount: 200 },
    ],
    taxes: [{ name: "VAT 19 %", percent: "19", included: true }],
    invoicing: { seller: "Arena Ltd\n1 Hall Street", series: "ARENA" },
  });
  const fan = await person(browser, { locale: "en-US" });
  await fan.goto(`${server.url}/e/${id}`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  // 65.00 and 1.63.
  await fan.getByText("Stalls €66.63").first().waitFor();
  await fan.getByLabel("How many").fill("2");
  await fan.locator("#category").selectOption("stalls");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByText("Booking fee", { exact: true }).waitFor();
  // 19/119 of 66.63, twice, and of 2.00.
  const wanted = ["Service €3.26", "Booking fee €2.00", "including VAT 19 % €21.60"];
  assert.deepEqual(await lines(fan.locator("#lines")), wanted);
  assert.equal(await fan.locator("#total").innerText(), "€135.26");
  await shoot(fan, "fees");
  await fan.getByLabel("Name").fill("Ada");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").waitFor();
  assert.equal(await fan.locator("#total").innerText(), "€135.26");
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText("€135.26 paid").waitFor();
  assert.deepEqual(await lines(fan.locator("#lines")), ["2 × Stalls €130.00", ...wanted]);
  const button = fan.getByRole("button", { name: "Invoice ARENA-I-000001" });
  const [download] = await Promise.all([fan.waitForEvent("download"), button.click()]);
  assert.equal(download.suggestedFilename(), "ARENA-I-000001.pdf");
  const pdf = await readFile(await download.path());
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  const save = fan.getByRole("button", { name: "Save as PDF" });
  const [tickets] = await Promise.all([fan.waitForEvent("download"), save.click()]);
  assert.match(tickets.suggestedFilename(), /^tickets-ord_[0-9a-f]+\.pdf$/);
  assert.equal((await readFile(await tickets.path())).subarray(0, 5).toString(), "%PDF-");
  await shoot(fan, "fees-order");
  sound(fan);

  const organiser = await person(browser, { locale: "en-US" });
  await organiser.goto(`${server.url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("link", { name: `The ${id} show` }).click();
  const { orders } = await server.call("GET", `/api/v1/organiser/events/${id}/orders`);
  const [order] = orders;
  await organiser.goto(`${server.url}/organiser#/event/${id}/order/${order.id}`);
  await organiser.getByText("Invoice ARENA-I-000001").waitFor();
  const print = organiser.getByRole("button", { name: "Tickets as PDF" });
  const [printed] = await Promise.all([organiser.waitForEvent("download"), print.click()]);
  assert.equal(printed.suggestedFilename(), `tickets-${order.id}.pdf`);
  await organiser.getByRole("checkbox").first().check();
  await organiser.getByRole("button", { name: "Refund the chosen seats (€66.63)" }).click();
  await organiser.getByText("€66.63 was refunded.").waitFor();
  await organiser.getByText("Credit note ARENA-C-000001").waitFor();
  await organiser.getByRole("button", { name: "Refund the whole order (€68.63)" }).waitFor();
  await shoot(organiser, "fees-console");
  sound(organiser);
});
