// Pages in German: by the event, by a link, without JavaScript, and on a small phone.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { orderInBrowser } from "./fan.js";
import { Cookieless } from "./proxy.js";
import { Server } from "./server.js";

let server, browser, cookieless;
before(async () => {
  cookieless = await Cookieless.start();
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_ALLOWED_ORIGINS: cookieless.url }), launch()]);
  cookieless.target = server.port;
});
after(async () => {
  await browser?.close();
  cookieless?.end();
  await server?.end();
});

const quick = { admission: { rate_per_minute: 6000, batch_seconds: 1 } };
const details = {
  language: "de",
  subtitle: "Mit dem Beispielorchester",
  venue: { name: "Große Halle", address: "Hallenstraße 1, 10115 Berlin" },
  doors_at: "2099-03-20T18:00:00Z",
  starts_at: "2099-03-20T19:00:00Z",
  time_zone: "Europe/Berlin",
};
const small = { viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true };
const start = "Freitag, 20. März 2099, 20:00 Uhr Ortszeit Berlin (UTC+1)";

/** Nothing sticks out, and axe finds nothing. */
async function fits(page, where) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 320, `${where} is ${wide} px wide`);
  assert.equal(await page.evaluate(() => document.documentElement.lang), "de", where);
  await accessible(page, where);
  await shoot(page, `german-${where}`, { fullPage: true });
}

test("a fan of a German event buys in German on a small phone, from the line to the tickets", async () => {
  await server.event("abend", { details, paused: true });
  const fan = await person(browser, { locale: "en-US", ...small });
  await fan.goto(`${server.url}/e/abend`);
  await fan.getByRole("heading", { name: "Sie sind als Nächstes an der Reihe" }).waitFor();
  await fan.getByText(start).waitFor();
  await fan.getByText("Einlass: 19:00 Uhr").waitFor();
  await fan.getByText("Die Warteschlange ist gerade angehalten. Niemand kann Sie überholen.").waitFor();
  await fits(fan, "queue");
  await server.call("PATCH", "/api/v1/organiser/events/abend", { paused: false, ...quick });
  await fan.getByRole("heading", { name: "Sie sind an der Reihe" }).waitFor();
  await fits(fan, "turn");
  await fan.getByRole("link", { name: "Zur Kasse" }).click();
  await fan.getByRole("heading", { name: "Wählen Sie Ihre Plätze" }).waitFor();
  await fan.getByText("Stalls 65,00 €").waitFor();
  await fan.getByText("Testbetrieb: Es wird nichts abgebucht.").waitFor();
  await fits(fan, "seats");
  await fan.getByLabel("Anzahl").fill("3");
  await fan.locator("#category").selectOption("stalls");
  await fan.getByRole("button", { name: "Suchen und reservieren" }).click();
  await fan
    .locator("#clock")
    .getByText(/^Noch \d+:\d\d reserviert$/)
    .waitFor();
  await fits(fan, "details");
  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-Mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Weiter zur Bezahlung" }).click();
  await fan.getByLabel("Kartennummer").fill("4000 0000 0000 0002");
  const pay = fan.getByRole("button", { name: "195,00 € bezahlen" });
  await pay.click();
  await fan.getByText("Die Karte wurde abgelehnt. Ihre Plätze bleiben reserviert").waitFor();
  await fits(fan, "payment");
  await fan.getByLabel("Kartennummer").fill("4242 4242 4242 4242");
  await pay.click();
  await fan.getByText("Bestätigt: 195,00 € bezahlt. Zeigen Sie die Codes am Einlass vor.").waitFor();
  await fan.locator(".ticket").nth(2).waitFor();
  const { orders } = await server.call("GET", "/api/v1/organiser/events/abend/orders");
  assert.equal(orders[0].language, "de");
  await fits(fan, "order");
  await fan.getByRole("link", { name: "Ihre Tickets" }).click();
  await fan.getByText("3 Tickets · 195,00 € · bestätigt").waitFor();
  await fits(fan, "orders");
  sound(fan);
});

test("a fan's choice of a language is kept for the visit, and wins over the event's", async () => {
  await server.event("choice", { paused: true });
  const fan = await person(browser, { locale: "de-DE" });
  await fan.goto(`${server.url}/e/choice?return_to=%2Fe%2Fchoice%2Fseats`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  await fan.getByRole("link", { name: "Deutsch" }).click();
  await fan.getByRole("heading", { name: "Sie sind als Nächstes an der Reihe" }).waitFor();
  assert.match(fan.url(), /return_to=%2Fe%2Fchoice%2Fseats&lang=de$/);
  await fan.goto(`${server.url}/e/choice`);
  await fan.getByRole("heading", { name: "Sie sind als Nächstes an der Reihe" }).waitFor();
  await fan.goto(`${server.url}/`);
  await fan.getByRole("heading", { name: "Kommende Veranstaltungen" }).waitFor();
  await fan.getByRole("link", { name: "English" }).click();
  await fan.getByRole("heading", { name: "Upcoming events" }).waitFor();
  await fan.goto(`${server.url}/e/choice`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  const cookies = await fan.context().cookies();
  assert.deepEqual(
    cookies.filter(({ name }) => name === "fairline_lang").map(({ value, expires }) => [value, expires]),
    [["en", -1]],
  );
  sound(fan);
});

test("pages of no event are in the language that the browser prefers", async () => {
  const fan = await person(browser, { locale: "de-AT", ...small });
  await fan.goto(`${server.url}/vertippt`);
  await fan.getByRole("heading", { name: "Seite nicht gefunden" }).waitFor();
  await fits(fan, "not-found");
  await fan.goto(`${server.url}/orders`);
  await fan.getByText("In diesem Browser gibt es keine Tickets.").waitFor();
  sound(fan);
});

test("without JavaScript a fan waits and leaves in German", async () => {
  await server.event("still", { details: { ...details, language: undefined }, paused: true });
  const fan = await person(browser, { javaScriptEnabled: false, ...small });
  await fan.goto(`${server.url}/e/still`);
  await fan.getByRole("link", { name: "Deutsch" }).click();
  await fan.getByText(start).waitFor();
  await fan.getByRole("button", { name: "Jetzt anstellen" }).click();
  await fan.getByRole("heading", { name: "Sie sind als Nächstes an der Reihe" }).waitFor();
  await fan.getByText("Ihre Nummer ist 1. Die Warteschlange ist gerade angehalten.").waitFor();
  await fan.getByRole("button", { name: "Warteschlange verlassen" }).click();
  await fan.getByRole("heading", { name: "Sie haben die Warteschlange verlassen" }).waitFor();
});

test("the draw is explained in German", async () => {
  const prequeue_opens_at = new Date(Date.now() - 60_000).toISOString();
  const sale_opens_at = new Date(Date.now() + 3600_000).toISOString();
  await server.event("los", { details, order: "draw", prequeue_opens_at, sale_opens_at });
  const fan = await person(browser, small);
  await fan.goto(`${server.url}/e/los`);
  await fan.getByRole("heading", { name: "1 Person in der Warteschlange" }).waitFor();
  await fan
    .locator("#countdown")
    .getByText(/^Öffnet in 0:/)
    .waitFor();
  await fits(fan, "draw-queue");
  await fan.getByRole("link", { name: /So läuft die Verlosung/ }).click();
  await fan.getByText("Die Verlosung steht noch aus. Sie findet zum Verkaufsstart statt.").waitFor();
  await fan.getByRole("link", { name: "die Liste der Lose" }).waitFor();
  await fits(fan, "draw");
  sound(fan);
});

test("refusals are in German, in the form of their number", async () => {
  const texts = JSON.parse(await readFile(new URL("../shared/texts/de.json", import.meta.url), "utf8"));
  await server.event("grenzen", { details, ...quick });
  await server.call("PATCH", "/api/v1/organiser/events/grenzen/checkout", { max_seats_per_order: 1 });
  const fan = await person(browser, small);
  await fan.goto(`${server.url}/e/grenzen`);
  await fan.getByRole("link", { name: "Zur Kasse" }).click();
  await fan.getByLabel("Anzahl").fill("2");
  const find = fan.getByRole("button", { name: "Suchen und reservieren" });
  await find.click();
  await fan.getByText("Pro Person ist höchstens 1 Platz erlaubt.").waitFor();
  let refusal;
  await fan.route("**/holds", (route) =>
    route.fulfill({ status: 409, contentType: "application/problem+json", body: JSON.stringify(refusal) }),
  );
  for (const limit of [1, 3])
    for (const kind of ["too-many-holds", "too-many-open-holds", "too-many-attempts", "too-many-declines"]) {
      refusal = { type: `/problems/${kind}`, title: "Refused", limit };
      await find.click();
      const wanted = texts[`refusal.${kind}`][limit === 1 ? "one" : "other"];
      await fan.getByText(wanted.replace("{limit}", limit), { exact: true }).waitFor();
    }
  for (const kind of ["too-many-seat-holders", "unknown-seats", "payment-running", "invalid"]) {
    refusal = { type: `/problems/${kind}`, title: "Refused" };
    await find.click();
    await fan.getByText(texts[`refusal.${kind}`], { exact: true }).waitFor();
  }
  // From one network: there is no number in it.
  refusal = { type: "/problems/too-many-declines", title: "Refused" };
  await find.click();
  await fan.getByText("Aus Ihrem Netzwerk wurden zu viele Karten abgelehnt.").waitFor();
  sound(fan);
});

test("a fan who may try no other card is told so in place of advice to try one", async () => {
  await server.event("karten", quick);
  const fan = await orderInBrowser(browser, server, "karten", 1);
  const pay = fan.getByRole("button", { name: "Pay €65.00" });
  await fan.getByLabel("Card number").fill("4000 0000 0000 0002");
  await pay.click();
  await fan.getByText("The card was declined. Your seats are still yours").waitFor();
  const refusal = { type: "/problems/too-many-declines", title: "Refused", status: 409, limit: 5 };
  await fan.route("**/payments/simulated/*", (route) =>
    route.fulfill({ status: 409, contentType: "application/problem+json", body: JSON.stringify(refusal) }),
  );
  await pay.click();
  await fan.getByText("5 of your cards were declined: no other is tried in this visit.").waitFor();
  sound(fan);
});

test("the organiser's words and links tell their language on pages in another", async () => {
  const links = { terms: "https://tickets.example/agb", imprint: "https://tickets.example/impressum" };
  await server.event("fremd", { name: "Ein Abend", details: { ...details, links }, ...quick });
  const fan = await person(browser, { locale: "en-GB" });
  await fan.goto(`${server.url}/e/fremd?lang=en`);
  const of = async (link) => [await link.getAttribute("hreflang"), await link.getAttribute("lang")];
  const heading = fan.getByRole("heading", { name: "Ein Abend" });
  assert.equal(await heading.getAttribute("lang"), "de");
  assert.deepEqual(await of(fan.getByRole("link", { name: "Terms" })), ["de", null]);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByLabel("How many").fill("1");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText(/^Confirmed: /).waitFor();
  assert.equal(await heading.getAttribute("lang"), "de");
  assert.deepEqual(await of(fan.getByRole("link", { name: "Imprint" })), ["de", null]);
  await accessible(fan, "an order in another language than the event's");
  await fan.getByRole("link", { name: "Deutsch" }).click();
  await fan.getByText(/^Bestätigt: /).waitFor();
  assert.equal(await heading.getAttribute("lang"), null);
  assert.deepEqual(await of(fan.getByRole("link", { name: "Impressum" })), [null, null]);
  sound(fan);
});

test("a fan without cookies keeps the chosen language from page to page", async () => {
  await server.event("ohne", { paused: true });
  await server.event("deutsch", { details, paused: true });
  const fan = await person(browser, { locale: "en-US" });
  await fan.goto(`${cookieless.url}/?lang=de`);
  await fan.getByRole("link", { name: "The ohne show" }).click();
  await fan.getByRole("heading", { name: "Sie sind als Nächstes an der Reihe" }).waitFor();
  await server.call("PATCH", "/api/v1/organiser/events/ohne", { paused: false, ...quick });
  await fan.getByText("Ihr Platz bleibt erhalten, solange dieser Tab geöffnet ist").waitFor();
  await fan.getByRole("link", { name: "Zur Kasse" }).click();
  await fan.getByRole("heading", { name: "Wählen Sie Ihre Plätze" }).waitFor();
  await fan.getByRole("button", { name: "Suchen und reservieren" }).click();
  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-Mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Weiter zur Bezahlung" }).click();
  await fan.getByLabel("Kartennummer").fill("4242 4242 4242 4242");
  await fan.getByRole("button", { name: / bezahlen$/ }).click();
  await fan.getByText(/^Bestätigt: /).waitFor();
  await fan.getByRole("link", { name: "Ihre Tickets" }).click();
  await fan.getByText("In diesem Browser gibt es keine Tickets.").waitFor();
  assert.match(fan.url(), /\/orders\?lang=de$/);
  // English that was chosen wins over the event's own language, too.
  await fan.goto(`${cookieless.url}/e/deutsch?lang=en`);
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  await server.call("PATCH", "/api/v1/organiser/events/deutsch", { paused: false, ...quick });
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByRole("heading", { name: "Choose your seats" }).waitFor();
  await fan.getByRole("button", { name: "Leave the checkout" }).click();
  await fan.waitForURL(/\/e\/deutsch\?lang=en$/);
  sound(fan);
  // With cookies the addresses are plain again once the browser has sent one.
  const other = await person(browser, { locale: "en-US" });
  await other.goto(`${server.url}/?lang=de`);
  await other.reload();
  const link = other.getByRole("link", { name: "The ohne show" });
  assert.equal(await link.getAttribute("href"), "/e/ohne");
});
