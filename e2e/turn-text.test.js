// Fans who are told of their turn by text message.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Server } from "./server.js";
import { accessible, isNarrow, launch, offered, person, shoot, sound, until } from "./browser.js";

const ACCOUNT = `AC${"0".repeat(32)}`;

let server, browser, twilio;
/** @type {string[]} */
const forms = [];
before(async () => {
  twilio = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    forms.push(body);
    response.writeHead(201, { "content-type": "application/json" }).end("{}");
  });
  await new Promise((done) => twilio.listen(0, "127.0.0.1", () => done(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (twilio.address());
  server = await Server.start({
    FAIRLINE_SMS: `twilio+http://${ACCOUNT}@127.0.0.1:${port}?from=Arena`,
    FAIRLINE_SMS_TOKEN: "token",
    FAIRLINE_SMS_PREFIXES: "+49,+43",
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
  twilio?.close();
});

/** Joins on a phone, and opens the form once the page offers it. */
async function openForm(event, name, options = {}) {
  const fan = await person(browser, { viewport: { width: 320, height: 640 }, ...options });
  const queue = `${server.url}/e/${event}`;
  await fan.goto(queue);
  if (options.javaScriptEnabled === false) await fan.getByRole("button", { name: "Join the line" }).click();
  const link = await offered(fan, queue, name);
  await link.click();
  return fan;
}

test("a fan leaves a number without scripts, corrects it, and gets one text message", async () => {
  await server.event("turn", { paused: true });
  const fan = await openForm("turn", "Tell me by text message", { javaScriptEnabled: false });
  await fan.getByRole("heading", { name: "A text message when it is your turn" }).waitFor();
  await fan.getByText("Numbers that begin with: +49, +43").waitFor();
  assert.ok(!(await fan.getByLabel("E-mail").isVisible()), "no mail is sent here");
  await shoot(fan, "turn-text-form", { fullPage: true });
  const number = fan.getByLabel("Mobile number");
  const send = fan.getByRole("button", { name: "Send me a text message" });
  await number.fill("+1 555 0100123");
  await send.click();
  await fan.getByText("We cannot send text messages to that number.").waitFor();
  await number.fill("0049 (151) 1234-5678");
  await send.click();
  await fan.getByText("You will get a text message when it is your turn.").waitFor();
  await shoot(fan, "turn-text-taken", { fullPage: true });
  await server.call("PATCH", "/api/v1/organiser/events/turn", { paused: false });
  await until(async () => forms.length > 0);
  const form = new URLSearchParams(forms[0]);
  assert.equal(form.get("To"), "+4915112345678");
  assert.ok(form.get("Body")?.endsWith(`${server.url}/e/turn`), forms[0]);
  sound(fan);
});

test("the form speaks German and withdraws", async () => {
  await server.event("abend", { paused: true, details: { language: "de" } });
  const fan = await openForm("abend", "Per SMS Bescheid geben");
  await accessible(fan, "the form for a text message");
  await fan.getByLabel("Mobilnummer").fill("+4366012345678");
  await fan.getByRole("button", { name: "SMS erhalten", exact: true }).click();
  await fan.getByText("Sie erhalten eine SMS, wenn Sie an der Reihe sind.").waitFor();
  await accessible(fan, "the form after the number was taken");
  assert.ok(await isNarrow(fan));
  await shoot(fan, "turn-text-german", { fullPage: true });
  await fan.getByRole("button", { name: "Keine SMS mehr" }).click();
  await fan.getByText("Sie erhalten keine SMS.").waitFor();
  sound(fan);
});
