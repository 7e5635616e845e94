// A plan that is changed in the console while seats are sold.
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

for (const width of [1280, 360])
  test(`an organiser sees what a plan changes, is told of a sale in between, and confirms it, ${width} wide`, async () => {
    const id = `change-${width}`;
    await server.event(id);
    const sell = (/** @type {string} */ seat) =>
      server.call("POST", `/api/v1/organiser/events/${id}/orders`, {
        seats: [seat],
        method: "cash",
        buyer: { name: "Ada" },
      });
    await sell("st-A-1");
    const page = await person(browser, { locale: "en-GB", viewport: { width, height: 900 } });
    await signIn(page, server);
    await page.goto(`${server.url}/organiser#/event/${id}/plan`);
    const area = page.getByLabel("Seating plan", { exact: true });
    const plan = JSON.parse(await area.inputValue());
    plan.categories[1].price += 1000;
    plan.sections.unshift({ id: "front", name: "Front", category: plan.categories[1].id, rows: 1, seats_per_row: 4 });
    await area.fill(JSON.stringify(plan));
    await page.getByRole("button", { name: "See what changes" }).click();
    await page.getByRole("heading", { name: "What changes" }).waitFor();
    await page.getByRole("cell", { name: "Front, row A, seat 1", exact: false }).waitFor();
    await page.getByRole("cell", { name: "€75.00" }).waitFor();
    await accessible(page, page.url());
    await shoot(page, `plan-change-${width}`);
    await sell("st-A-2");
    await page.getByRole("button", { name: "Confirm the change" }).click();
    await page.getByText("Something was sold or changed meanwhile").waitFor();
    await page.getByRole("button", { name: "Confirm the change" }).click();
    await page.getByText("The plan is set. Fans see it from now on.").waitFor();
    const sales = await server.call("GET", `/api/v1/organiser/events/${id}/sales`);
    assert.equal(sales.booked, 2);

    plan.sections = plan.sections.filter((section) => section.id === "front");
    plan.areas = [];
    await area.fill(JSON.stringify(plan));
    await page.getByRole("button", { name: "See what changes" }).click();
    await page.getByText("Stalls, row A, seat 1 is sold: the plan must keep it").waitFor();
    await page.getByText("Stalls, row A, seat 2 is sold: the plan must keep it").waitFor();
    await shoot(page, `plan-refused-${width}`);
    sound(page);
  });
