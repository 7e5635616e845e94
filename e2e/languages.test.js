// Pages in German: by the event, by a link, without JavaScript, and on a small phone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
});
after(async () => {
  await browser?.close();
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
