// An event's details from the console to the tickets: dates with their zone, colours, drafts, pages for all.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { accessible, launch, noteShifts, person, shoot, sound, still } from "./browser.js";
import { orderInBrowser } from "./fan.js";
import { KEY, Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const DAY = 24 * 3600_000;
const admission = { rate_per_minute: 60000, batch_seconds: 1 };
const name = "Donaudampfschifffahrtsgesellschaftskapitänsmützen and everything that has been said about them";
const details = {
  subtitle: "With the Example Orchestra",
  venue: { name: "Great Hall", address: "1 Hall Road, 10115 Berlin" },
  doors_at: "2099-03-20T18:00:00Z",
  starts_at: "2099-03-20T19:00:00Z",
  time_zone: "Europe/Berlin",
  description: "Two hours of music.\n\nOne break.",
  image_url: "/static/icon.svg",
  logo_url: "/static/icon.svg",
  colours: { background: "#123c5a", text: "#ffffff" },
  links: { contact: "mailto:help@tickets.example", terms: "https://tickets.example/terms" },
};
const start = "Friday, 20 March 2099, 20:00 Berlin time (UTC+1)";

async function signIn(page) {
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sales" }).waitFor();
}

/** Nothing is wider than the page. */
const fits = async (page, where) =>
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, where);

const colour = (page, selector) =>
  page.evaluate((selector) => getComputedStyle(document.querySelector(selector)).backgroundColor, selector);

test("an organiser writes down an event in the console, looks at the draft, publishes and changes it", async () => {
  // Times of the form are those of the venue, wherever the organiser is.
  const organiser = await person(browser, { timezoneId: "Asia/Tokyo" });
  await signIn(organiser);
  await organiser.getByRole("link", { name: "New sale", exact: true }).first().click();
  await organiser.getByLabel("Name", { exact: true }).fill("Draft Night");
  await organiser.getByLabel("Address: a-z, 0-9 and -").fill("draft-night");
  assert.equal(await organiser.getByLabel("Time zone of all dates here").inputValue(), "Asia/Tokyo");
  await organiser.getByLabel("Time zone of all dates here").fill("Europe/Berlin");
  await organiser.getByLabel("Venue", { exact: true }).fill("Great Hall");
  await organiser.getByLabel("Start", { exact: true }).fill("2099-07-20T20:00");
  await organiser.getByLabel("Doors open", { exact: true }).fill("2099-07-20T21:00");
  await organiser.getByLabel("Own colours").check();
  await organiser.getByLabel("Colour of header and buttons").fill("#ffee00");
  await organiser.getByLabel("Terms of the sale").fill("tickets.example/terms");
  await organiser.getByRole("button", { name: "Create the sale" }).click();
  const told = organiser.getByRole("alert").filter({ visible: true });
  await told.filter({ hasText: "Terms of the sale: an address that begins with https://" }).waitFor();
  const text = await told.innerText();
  assert.match(text, /Doors open: not after the start/);
  assert.match(text, /Colour of the text on it: text in #ffffff on #ffee00 is hard to read/);
  assert.doesNotMatch(text, /_/);
  await organiser.getByLabel("Doors open", { exact: true }).fill("2099-07-20T18:30");
  await organiser.getByLabel("Colour of header and buttons").fill("#123c5a");
  await organiser.getByLabel("Terms of the sale").fill("https://tickets.example/terms");
  await accessible(organiser, "the form for a new sale with details");
  await organiser.getByRole("button", { name: "Create the sale" }).click();
  await organiser.getByRole("heading", { name: "Draft Night" }).waitFor();
  const made = await server.call("GET", "/api/v1/organiser/events/draft-night");
  assert.equal(made.details.starts_at, "2099-07-20T18:00:00Z");
  assert.equal(made.details.doors_at, "2099-07-20T16:30:00Z");
  assert.equal(made.published, false);

  const fan = await person(browser);
  await fan.goto(`${server.url}/e/draft-night`);
  await fan.getByRole("heading", { name: "No such event" }).waitFor();
  await fan.goto(server.url);
  assert.equal(await fan.getByText("Draft Night").count(), 0);
  const preview = await organiser.context().newPage();
  await preview.goto(`${server.url}/e/draft-night`);
  await preview.getByRole("heading", { name: "A draft" }).waitFor();
  await preview.getByText("Monday, 20 July 2099, 20:00 Berlin time (UTC+2)").waitFor();
  await preview.getByRole("link", { name: "See the seats" }).click();
  await preview.getByText("Preview", { exact: true }).waitFor();
  await preview.getByText("Great Hall").waitFor();
  assert.equal(await preview.getByRole("button", { name: "Find and hold" }).isDisabled(), true);

  await organiser.getByRole("button", { name: "Publish" }).click();
  await organiser.getByRole("button", { name: "Back to draft" }).waitFor();
  await fan.goto(`${server.url}/e/draft-night`);
  await fan.getByText("Great Hall").waitFor();
  assert.equal(await organiser.getByLabel("Start", { exact: true }).inputValue(), "2099-07-20T20:00");
  await organiser.getByLabel("Subtitle, such as the tour or the support act").fill("New: with guests");
  await organiser.getByRole("button", { name: "Save", exact: true }).click();
  await organiser.getByRole("alert").filter({ hasText: "Saved. Fans read it from now on." }).waitFor();
  await fan.reload();
  await fan.getByText("New: with guests").waitFor();
  assert.equal(
    (await server.call("GET", "/api/v1/organiser/events/draft-night")).details.doors_at,
    made.details.doors_at,
  );
  sound(organiser);
  sound(fan);
});

test("date, zone, place, colours and links are on every page of a fan, down to the tickets", async () => {
  await server.event("full", { name, details, admission });
  const fan = await person(browser, { timezoneId: "America/New_York", viewport: { width: 360, height: 740 } });
  const shown = async (where) => {
    await fan.getByText(start).first().waitFor();
    await fan.getByText("Doors open: 19:00").first().waitFor();
    await fan.getByText("Great Hall, 1 Hall Road, 10115 Berlin").first().waitFor();
    await fits(fan, where);
    await accessible(fan, where);
  };
  await fan.goto(server.url);
  await shown("the landing page");
  await fan.getByRole("link", { name }).click();
  const go = fan.getByRole("link", { name: "Go to the checkout" });
  await go.waitFor();
  await shown("the queue page with its turn");
  assert.equal(await colour(fan, "header.event"), "rgb(18, 60, 90)");
  await fan.getByRole("link", { name: "Terms" }).waitFor();
  await go.click();
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByLabel("Name").fill("Grace");
  await shown("the seats");
  assert.equal(await colour(fan, "#buyer .primary"), "rgb(18, 60, 90)");
  await fan.getByRole("link", { name: "Contact" }).waitFor();
  await fan.getByLabel("E-mail").fill("grace@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").fill("4242424242424242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.locator(".ticket").nth(1).waitFor();
  for (const ticket of await fan.locator(".ticket").all())
    for (const text of [name, start, "Doors open: 19:00", "Great Hall, 1 Hall Road"])
      await ticket.getByText(text).first().waitFor();
  await shown("the order");
  await shoot(fan, "order-with-details", { fullPage: true });
  const download = fan.waitForEvent("download");
  await fan.getByRole("link", { name: "Add to your calendar" }).click();
  assert.equal((await download).suggestedFilename(), "full.ics");
  const image = fan.locator(".ticket img").first();
  const svg = atob((await image.getAttribute("src")).split(",")[1]);
  // Around the code is a margin of four modules.
  const modules = Number(svg.match(/viewBox="0 0 (\d+) /)[1]);
  const centimetres = ((await image.boundingBox()).width / 96) * 2.54;
  assert.ok((centimetres * (modules - 8)) / modules >= 4, "the code is at least 4 cm wide");
  const printed = await fan.pdf({ format: "A4" });
  const text = execFileSync("pdftotext", ["-layout", "-", "-"], { input: printed, encoding: "utf8" });
  const pages = text.split("\f").slice(0, -1);
  assert.equal(pages.length, 2, "a page for each ticket");
  for (const page of pages) assert.match(page, /Great Hall/);
  sound(fan);
});

test("before the sale the page counts down, with date and zone, and offers the calendar", async () => {
  const opens = new Date(Date.now() + 3 * DAY + 5000).toISOString();
  const times = { prequeue_opens_at: new Date(Date.now() - DAY).toISOString(), sale_opens_at: opens };
  await server.event("soon", { ...times, details });
  await server.event("later", { sale_opens_at: opens });
  const fan = await person(browser, { timezoneId: "America/New_York" });
  await fan.goto(`${server.url}/e/soon`);
  await fan.getByRole("heading", { name: "You are first in line" }).waitFor();
  await fan.getByText(/The sale opens on \w+, .* Berlin time \(UTC\+[12]\)\./).waitFor();
  await fan
    .getByRole("timer")
    .filter({ hasText: /^Opens in (3 days 0:00:0|2 days 23:59:5)\d$/ })
    .waitFor();
  await accessible(fan, "the queue page before the sale");
  const download = fan.waitForEvent("download");
  await fan.getByRole("link", { name: "Add to your calendar" }).click();
  assert.equal((await download).suggestedFilename(), "soon.ics");
  // Without a zone of the event it is that of the fan, and named.
  await fan.goto(`${server.url}/e/later`);
  await fan.getByText(/It opens on \w+, .* New York time \(UTC−[45]\)\./).waitFor();
  await fan.getByRole("timer").filter({ hasText: "Opens in" }).waitFor();
  sound(fan);
});

test("a fan's tickets are one click away from the landing page, the queue page and the page of an order", async () => {
  await server.event("near", { paused: true });
  const fan = await person(browser, { viewport: { width: 320, height: 640 } });
  for (const path of ["/", "/e/near", "/orders/ord_x"]) {
    await fan.goto(`${server.url}${path}`);
    await fits(fan, path);
    await fan.getByRole("link", { name: "Your tickets" }).click();
    await fan.getByRole("heading", { name: "Your tickets" }).waitFor();
  }
});

test("without JavaScript the queue page has the event in its colours", async () => {
  await server.event("quiet", { details, paused: true });
  const fan = await person(browser, { javaScriptEnabled: false, viewport: { width: 320, height: 640 } });
  await fan.goto(`${server.url}/e/quiet`);
  await fan.getByText(start).waitFor();
  await fan.getByText("Doors open: 19:00").waitFor();
  await fan.getByText("Two hours of music.").waitFor();
  const box = await fan.locator("header.event").boundingBox();
  assert.ok(box.width <= 320);
  await fan.goto(server.url);
  await fan.getByRole("link", { name: "The quiet show" }).waitFor();
  await fan.goto(`${server.url}/mistyped`);
  await fan.getByRole("heading", { name: "Page not found" }).waitFor();
});

test("pages and server write dates in the same words, and numbers in the page's language", async () => {
  const fan = await person(browser, { locale: "de-DE", timezoneId: "Europe/Berlin" });
  const cases = [
    ["2027-01-15T08:00:00Z", "America/Argentina/Buenos_Aires"],
    ["2027-07-15T23:30:00Z", "Asia/Kolkata"],
    ["2027-07-15T12:00:00Z", "America/St_Johns"],
    ["2027-01-15T12:00:00Z", "Europe/London"],
    ["2027-07-15T22:00:00Z", "Europe/Berlin"],
    ["2027-07-15T12:00:00Z", "UTC"],
  ];
  // Before the sale the page has dates to write.
  const [prequeue_opens_at, sale_opens_at] = ["2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"];
  for (const [index, [starts_at, time_zone]] of cases.entries()) {
    await server.event(`zone-${index}`, { details: { starts_at, time_zone }, sale_opens_at, prequeue_opens_at });
    await fan.goto(`${server.url}/e/zone-${index}`);
    const server_side = await fan.locator("header.event time").innerText();
    const page_side = await fan.evaluate(
      async ([at, zone]) => (await import("/static/dates.js")).when(at, zone),
      [starts_at, time_zone],
    );
    assert.equal(page_side, server_side);
  }
  // 1,472 seats are available; a German browser would write 1.472 into the English sentence.
  await fan.getByText("1,472", { exact: true }).waitFor();
  sound(fan);
});

test("a local time of a form is an instant and back, also where clocks change", async () => {
  const page = await person(browser, { timezoneId: "Pacific/Auckland" });
  await signIn(page);
  const back = (local, zone) =>
    page.evaluate(
      async ([local, zone]) => {
        const { toInstant, toLocal } = await import("/static/zones.js");
        const at = toInstant(local, zone);
        return [at, toLocal(at, zone)];
      },
      [local, zone],
    );
  for (const [local, zone, at] of [
    ["2027-03-27T20:00", "Europe/Berlin", "2027-03-27T19:00:00.000Z"],
    ["2027-03-28T04:00", "Europe/Berlin", "2027-03-28T02:00:00.000Z"],
    ["2027-10-31T12:00", "Europe/Berlin", "2027-10-31T11:00:00.000Z"],
    ["2027-11-07T01:00", "America/New_York", "2027-11-07T05:00:00.000Z"],
    ["2027-01-01T00:30", "Asia/Kathmandu", "2026-12-31T18:45:00.000Z"],
  ])
    assert.deepEqual(await back(local, zone), [at, local], `${local} ${zone}`);
  await assert.rejects(back("2027-01-01T00:30", "Berlin"), /Time zone: there is none of the name "Berlin"/);
});

for (const [on, options] of [
  ["a phone", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }],
  ["a desk", {}],
])
  test(`nothing jumps on the pages of the seats and the order on ${on}`, async () => {
    const event = `still-${options.isMobile ? "phone" : "desk"}`;
    await server.event(event, { admission, details });
    const fan = await orderInBrowser(browser, server, event, 2, options);
    await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
    await fan.getByRole("button", { name: /^Pay / }).click();
    await fan.getByText(/Confirmed: /).waitFor();
    await fan.waitForURL("**/orders/**");
    await noteShifts(fan);
    await fan.reload();
    await fan
      .getByRole("img", { name: /QR code/ })
      .nth(1)
      .waitFor();
    await still(fan);
    sound(fan);
    const other = await person(browser, options);
    await noteShifts(other);
    await other.goto(`${server.url}/e/${event}`);
    await other.getByRole("link", { name: "Go to the checkout" }).click();
    await other.getByText("left to shop").waitFor();
    await still(other);
    sound(other);
  });
