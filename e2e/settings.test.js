// All settings of a sale, in people's words.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { signIn } from "./organiser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** The form under a heading. */
const card = (page, heading) =>
  page.locator("form").filter({ has: page.getByRole("heading", { name: heading, exact: true }) });

for (const width of [1280, 360])
  test(`an organiser changes times, limits, rules, fees and invoices, ${width} wide`, async () => {
    const id = `settings-${width}`;
    await server.event(id);
    const page = await person(browser, {
      locale: "en-GB",
      timezoneId: "Europe/Berlin",
      viewport: { width, height: 900 },
    });
    await signIn(page, server);
    await page.goto(`${server.url}/organiser#/event/${id}/settings`);
    await page.getByRole("heading", { name: "Settings of", level: 1 }).waitFor();
    await accessible(page, page.url());
    await shoot(page, `settings-${width}`);
    const save = async (heading, name = "Save") => {
      await card(page, heading).getByRole("button", { name, exact: true }).click();
      await card(page, heading)
        .getByText(/^(Saved|Nothing is changed)/)
        .waitFor();
    };
    const times = card(page, "When");
    await times.getByLabel("Time zone").fill("Europe/London");
    await times.getByLabel("It closes").fill("2037-06-01T22:30");
    await times.getByLabel("Days the line is kept").fill("30");
    await save("When");
    const line = card(page, "The line");
    await line.getByLabel("Seconds more for fans who ask").fill("120");
    await line.getByLabel("Seconds to shop").fill("900");
    await save("The line");
    await card(page, "The way in").getByLabel("before the line opens").check();
    await save("The way in");
    const rules = card(page, "Selling rules");
    await rules.getByLabel("Seats in one order").fill("4");
    await rules.getByLabel("A single free seat").selectOption("forbid");
    await save("Selling rules");
    const fees = card(page, "Fees");
    await fees.getByRole("button", { name: "Add a fee" }).click();
    await fees.getByLabel("Name").fill("Booking fee");
    await fees.getByLabel("For").selectOption("order");
    await fees.getByLabel("How much").fill("2.5");
    await save("Fees");
    const taxes = card(page, "Taxes");
    await taxes.getByRole("button", { name: "Add a tax" }).click();
    await taxes.getByLabel("Name").fill("VAT 19 %");
    await taxes.getByLabel("Per cent").fill("19");
    await save("Taxes");
    const invoices = card(page, "Invoices");
    await invoices.getByLabel("Issue invoices").check();
    await invoices.getByLabel("Seller").fill("Arena Ltd");
    await invoices.getByLabel("Series").fill("ARENA");
    await save("Invoices");

    const settings = await server.call("GET", `/api/v1/organiser/events/${id}`);
    assert.equal(settings.closes_at, "2037-06-01T21:30:00Z");
    assert.equal(settings.retention_days, 30);
    const { extension_seconds, session_seconds, claim_seconds } = settings.admission;
    assert.deepEqual([extension_seconds, session_seconds, claim_seconds], [120, 900, 120]);
    assert.equal(settings.passthrough_before_opening, true);
    const selling = await server.call("GET", `/api/v1/organiser/events/${id}/checkout`);
    assert.deepEqual([selling.max_seats_per_order, selling.orphans], [4, "forbid"]);
    assert.deepEqual(selling.fees, [{ name: "Booking fee", per: "order", amount: 250 }]);
    assert.deepEqual(selling.taxes, [{ name: "VAT 19 %", percent: "19", included: true, on: ["tickets", "fees"] }]);
    assert.equal(selling.invoicing.series, "ARENA");

    await times.getByLabel("The sale opens").fill("2040-01-01T10:00");
    await times.getByRole("button", { name: "Save" }).click();
    await times.getByText(/^It closes: /).waitFor();
    await shoot(page, `settings-saved-${width}`);
    sound(page);
  });
