// Fans who are told of their turn by mail, and come back by its link.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.js";
import { accessible, isNarrow, launch, offered, person, shoot, sound, until } from "./browser.js";
import { mailbox } from "./mailbox.js";

let server, browser, box;
before(async () => {
  box = await mailbox();
  server = await Server.start(box.settings);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
  box?.end();
});

/** Joins on a phone, and opens the form once the page offers it. */
async function openForm(event, name, options = {}) {
  const fan = await person(browser, { viewport: { width: 320, height: 640 }, ...options });
  const link = await offered(fan, `${server.url}/e/${event}`, name);
  await accessible(fan, "the queue page that offers a mail");
  await shoot(fan, "turn-mail-queue", { fullPage: true });
  await link.click();
  return fan;
}

test("a fan leaves an address on a phone, and comes back in another browser by the link of the mail", async () => {
  await server.event("turn", { paused: true });
  const fan = await openForm("turn", "Tell me by mail");
  await fan.getByRole("heading", { name: "A mail when it is your turn" }).waitFor();
  await accessible(fan, "the form for a mail");
  assert.ok(await isNarrow(fan));
  await shoot(fan, "turn-mail-form", { fullPage: true });
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Send me a mail" }).click();
  await fan.getByText("You get a mail when it is your turn.").waitFor();
  await accessible(fan, "the form after the address was taken");
  await shoot(fan, "turn-mail-taken", { fullPage: true });
  await fan.getByRole("link", { name: "Back to the line" }).click();
  await fan.getByRole("heading", { name: "You are next" }).waitFor();

  await server.call("PATCH", "/api/v1/organiser/events/turn", { paused: false });
  await until(async () => box.mails.length === 1);
  assert.match(box.mails[0], /^To: ada@example.org\r$/m);
  const [link] = box.mails[0].match(/http\S+\/e\/turn\/place#[\w.-]+/);
  const other = await person(browser);
  await other.goto(link);
  await other.getByRole("heading", { name: "It is your turn" }).waitFor();
  assert.equal(other.url(), `${server.url}/e/turn`);
  await other.getByRole("link", { name: "Go to the checkout" }).waitFor();
  await other.goBack().catch(() => null);
  assert.ok(!other.url().includes("#"), other.url());
  sound(other);

  // In the browser that has the place it opens the same.
  await fan.goto(link);
  await fan.getByRole("heading", { name: "It is your turn" }).waitFor();
  await fan.getByRole("button", { name: "Leave the line" }).click();
  await fan.getByRole("button", { name: "Join the line" }).waitFor();
  const late = await person(browser, { viewport: { width: 320, height: 640 } });
  await late.goto(link);
  await late.getByText("This place is over").waitFor();
  await accessible(late, "the link of a place that is over");
  assert.ok(await isNarrow(late));
  await shoot(late, "turn-mail-over", { fullPage: true });
  for (const page of [fan, late]) sound(page);
});

test("the form speaks German and withdraws, and a browser with another place keeps it", async () => {
  await server.event("abend", { paused: true, details: { language: "de" } });
  const fan = await openForm("abend", "Per E-Mail Bescheid geben", { javaScriptEnabled: true });
  await fan.getByLabel("E-Mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "E-Mail senden", exact: true }).click();
  await fan.getByText("Sie erhalten eine E-Mail, wenn Sie an der Reihe sind.").waitFor();
  assert.ok(await isNarrow(fan));
  await shoot(fan, "turn-mail-german", { fullPage: true });
  await fan.getByRole("button", { name: "Keine E-Mail senden" }).click();
  await fan.getByText("Sie erhalten keine E-Mail.").waitFor();
  await fan.getByLabel("E-Mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "E-Mail senden", exact: true }).click();
  await fan.getByText("Sie erhalten eine E-Mail, wenn Sie an der Reihe sind.").waitFor();
  const other = await person(browser);
  await other.goto(`${server.url}/e/abend`);
  await other.locator("#facts").waitFor();
  const before = box.mails.length;
  await server.call("PATCH", "/api/v1/organiser/events/abend", { paused: false });
  await until(async () => box.mails.length > before);
  const [link] = box.mails[before].match(/http\S+\/e\/abend\/place\S*#[\w.-]+/);
  await other.goto(link);
  await other.getByText("Sie haben in diesem Browser einen anderen Platz").waitFor();
  await accessible(other, "the link in a browser with another place");
  await shoot(other, "turn-mail-other-place");
  for (const page of [fan, other]) sound(page);
});
