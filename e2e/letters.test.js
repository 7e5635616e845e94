// The letters of a sale in the console, before they are sent, in each language and form.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { signIn } from "./organiser.js";
import { freePort, Server } from "./server.js";

let server, browser;
before(async () => {
  const mail = {
    FAIRLINE_SMTP: `smtp://127.0.0.1:${await freePort()}`,
    FAIRLINE_MAIL_FROM: "Arena <tickets@arena.example>",
  };
  [server, browser] = await Promise.all([Server.start(mail), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

test("an organiser sees each letter with the event's brand, and no script of a letter runs", async () => {
  const colours = { background: "#0b3d2e", text: "#ffffff" };
  const details = { starts_at: "2099-06-05T19:00:00Z", time_zone: "Europe/London", colours };
  await server.event("letters", { details });
  const organiser = await person(browser);
  await signIn(organiser, server);
  await organiser.goto(`${server.url}/organiser#/event/letters/orders`);
  await organiser.getByText("Letters", { exact: true }).click();
  const choice = (/** @type {string} */ name) => organiser.getByRole("combobox", { name, exact: true });
  const letter = organiser.frameLocator("iframe");
  await letter.getByText("Ada Example").first().waitFor();
  const head = letter.locator("h1");
  assert.match((await head.textContent()) ?? "", /The letters show/);
  assert.equal(await head.evaluate((node) => getComputedStyle(node).backgroundColor), "rgb(11, 61, 46)");
  const pictures = await letter.locator("img").evaluateAll((all) => all.map((one) => one.naturalWidth > 100));
  assert.deepEqual(pictures, [true, true]);
  await accessible(organiser, "the letters");
  await shoot(organiser, "console-letters", { fullPage: true });
  await choice("Letter").selectOption("Turn");
  await choice("Language").selectOption("Deutsch");
  await letter.getByText("Sie sind an der Reihe").first().waitFor();
  await choice("Format").selectOption("Text only");
  await letter.locator("pre").getByText("Sie sind an der Reihe").first().waitFor();
  await shoot(organiser, "console-letters-text", { fullPage: true });
  assert.equal(await organiser.locator("iframe").getAttribute("sandbox"), "");
  sound(organiser);
});
