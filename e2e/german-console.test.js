// The console in German: each of its parts has no English text of the catalogue, and fits on a desktop and on a phone.
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

const api = "/api/v1/organiser";
const quick = { admission: { rate_per_minute: 6000, batch_seconds: 1 } };

async function signIn(page) {
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Veranstalterschlüssel").fill(KEY);
  await page.getByRole("button", { name: "Anmelden" }).click();
  await page.getByRole("heading", { name: "Verkäufe" }).waitFor();
}

/** The texts of English that a German page must not show, each as a pattern of a whole text. */
async function englishTexts() {
  const read = async (code) =>
    JSON.parse(await readFile(new URL(`../shared/texts/${code}.json`, import.meta.url), "utf8"));
  const [english, german] = await Promise.all([read("en"), read("de")]);
  const forms = (text) => (typeof text === "string" ? [text] : Object.values(text));
  const own = new Set(Object.values(german).flatMap(forms));
  // The samples of a plan are the names that our halls have, and a key may be called as its role is.
  const asked = Object.entries(english).filter(([key]) => !/^(language|console\.sample|console\.role)\./.test(key));
  const texts = asked.flatMap(([, text]) => forms(text)).filter((text) => !own.has(text));
  const escaped = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  const patterns = texts.filter((text) => /[a-z]{2}/.test(text.replace(/\{\w+\}/g, "")));
  return patterns.map((text) => `^${escaped(text).replace(/\{\w+\}/g, "[^]+")}$`);
}

/** The texts of a page that are in English. */
async function leftOver(page, patterns) {
  return page.evaluate((patterns) => {
    const found = new Set();
    const english = new RegExp(patterns.join("|"));
    const look = (text) => {
      const words = text?.trim();
      if (words && english.test(words)) found.add(words);
    };
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode())
      if (!walk.currentNode.parentElement.closest("script, [lang=en], textarea, code")) look(walk.currentNode.data);
    for (const element of document.querySelectorAll("*"))
      for (const name of ["aria-label", "placeholder", "title"]) look(element.getAttribute(name));
    look(document.title);
    return [...found];
  }, patterns);
}

/** A sale with something on each of its pages. */
async function busySale() {
  await server.event("gala", { name: "Die Gala", ...quick });
  const url = `${api}/events/gala`;
  const order = await buy(server, "gala", ["st-A-1", "st-A-2"]);
  await buy(server, "gala", ["st-B-1"]);
  await server.call("POST", `${url}/orders/${order.id}/refund`, { seats: ["st-A-1"] });
  await server.call("POST", `${url}/seats/block`, { seats: ["st-C-1"], owner: "Presse", reason: "Kamera" });
  await server.call("PATCH", `${url}/checkout`, {
    fees: [{ name: "Servicegebühr", per: "order", amount: 200 }],
    taxes: [{ name: "MwSt. 7 %", percent: "7", included: true, on: ["tickets", "fees"] }],
    prices: [{ category: "stalls", ticket_types: [{ id: "kind", name: "Kind", price: 3000 }] }],
  });
  const hook = { name: "Buchhaltung", url: "https://hook.example/fairline", types: [], events: ["gala"] };
  const { webhook } = await server.call("POST", `${api}/webhooks`, hook);
  await server.call("POST", `${api}/webhooks/${webhook.id}/test`);
  return { order: order.id, webhook: webhook.id };
}

test("each part of the console is in German, with nothing in English, on a desktop and on a phone", async () => {
  const { order, webhook } = await busySale();
  const patterns = await englishTexts();
  const parts = [
    ["", "Verkäufe"],
    ["new", "Neuer Verkauf"],
    ["reviews", "Zu prüfende Zahlungen"],
    ["messages", "Webhooks"],
    [`messages/${webhook}`, "Buchhaltung"],
    ["audit", "Protokoll"],
    ["health", "Zustand"],
    ["event/gala", "Die Gala"],
    ["event/gala/orders", "Bestellungen"],
    [`event/gala/order/${order}`, "Bestellung"],
    ["event/gala/desk", "Direktverkauf"],
    ["event/gala/seats", "Plätze"],
    ["event/gala/settings", "Einstellungen: Die Gala"],
    ["event/gala/plan", "Saalplan"],
    ["event/gala/cancel", "Veranstaltung absagen"],
  ];
  for (const [width, height] of [
    [1280, 820],
    [360, 740],
  ]) {
    const page = await person(browser, { locale: "de-DE", viewport: { width, height } });
    await page.goto(`${server.url}/organiser`);
    await page.getByLabel("Veranstalterschlüssel").waitFor();
    assert.deepEqual(await leftOver(page, patterns), [], "the form to sign in");
    await signIn(page);
    for (const [part, heading] of parts) {
      await page.goto(`${server.url}/organiser#/${part}`);
      await page.getByRole("heading", { name: heading, level: 1, exact: true }).waitFor();
      await page.evaluate(() => {
        for (const details of document.querySelectorAll("details")) details.open = true;
      });
      if (part === "event/gala") await page.getByRole("link", { name: order.slice(0, 12) }).waitFor();
      const name = part.replace(order, "eine").replace(webhook, "einer").replaceAll("/", "-") || "sales";
      await shoot(page, `german-console-${name}-${width}`, { fullPage: true });
      assert.deepEqual(await leftOver(page, patterns), [], part);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${part} is ${wide} px wide`);
    }
    await page.close();
    sound(page);
  }
});

test("an organiser steers a sale, refunds a seat and chooses another language in the console", async () => {
  await server.event("abend", { name: "Der Abend", ...quick });
  const { id } = await buy(server, "abend", ["st-A-1", "st-A-2"]);
  const page = await person(browser, { locale: "de-DE" });
  await signIn(page);
  await page.getByRole("link", { name: "Der Abend" }).click();
  await page.getByRole("heading", { name: "Der Abend", level: 1 }).waitFor();
  await page.getByText("admin · Verwaltung").waitFor();
  await page.getByText("im Verkauf", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Anhalten" }).click();
  await page.getByRole("button", { name: "Fortsetzen" }).waitFor();
  await page.getByText("angehalten", { exact: true }).waitFor();
  await page.getByLabel("Nachricht (leer nimmt sie zurück)").fill("Gleich geht es weiter.");
  await page.getByRole("button", { name: "Senden" }).click();
  await page.locator(".good", { hasText: "Alle in der Warteschlange lesen sie jetzt." }).waitFor();
  await page.getByRole("link", { name: id.slice(0, 12) }).click();
  await page.getByText("bestätigt", { exact: true }).waitFor();
  await accessible(page, "an order in German");
  await page.getByRole("checkbox", { name: "Stalls, row A, seat 1 auswählen" }).check();
  // Prices and their heading are on the same side.
  const sides = ["columnheader", "cell"].map((role) => page.getByRole(role, { name: /^Preis$|^65,00\s€$/ }).first());
  for (const cell of sides) assert.equal(await cell.evaluate((own) => getComputedStyle(own).textAlign), "right");
  await page.getByRole("button", { name: /^Ausgewählte Plätze erstatten \(65,00\s€\)$/ }).click();
  await page.getByText(/^65,00\s€ wurden erstattet\.$/).waitFor();
  await page.getByRole("link", { name: "English" }).click();
  await page.getByText("confirmed", { exact: true }).waitFor();
  assert.match(page.url(), /\/organiser\?lang=en#\/event\/abend\/order\//);
  await page.goto(`${server.url}/organiser#/event/abend`);
  await page.getByText("paused", { exact: true }).waitFor();
  sound(page);
});
