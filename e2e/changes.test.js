// A changed date, of which the console tells buyers by mail once an organiser asks for it.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { buy } from "./fan.js";
import { freePort, KEY, Server } from "./server.js";

/** Mails that were handed over. @type {string[]} */
const mails = [];
const mailServer = createServer((socket) => {
  let mail = null;
  let rest = "";
  socket.on("error", () => {});
  socket.write("220 here\r\n");
  socket.on("data", (bytes) => {
    const lines = (rest + bytes).split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (mail && line !== ".") mail.push(line);
      else if (mail) {
        mails.push(mail.join("\n"));
        mail = null;
        socket.write("250 taken\r\n");
      } else if (line === "DATA") {
        mail = [];
        socket.write("354 go on\r\n");
      } else if (line === "QUIT") socket.end("221 bye\r\n");
      else socket.write("250 well\r\n");
    }
  });
});

let server, browser;
before(async () => {
  const port = await freePort();
  await new Promise((done) => mailServer.listen(port, "127.0.0.1", () => done(null)));
  const mail = {
    FAIRLINE_SMTP: `smtp://127.0.0.1:${port}`,
    FAIRLINE_MAIL_FROM: "Arena <tickets@arena.example>",
    FAIRLINE_VISITOR_REQUESTS_PER_SECOND: "0",
  };
  [server, browser] = await Promise.all([Server.start(mail), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
  mailServer.close();
});

test("an organiser who moves a show is offered to tell the buyers, and nothing is sent before", async () => {
  const details = { starts_at: "2099-06-05T19:00:00Z", time_zone: "Europe/London", venue: { name: "Example Arena" } };
  await server.event("moved", { admission: { rate_per_minute: 60000, batch_seconds: 1 }, details });
  const order = await buy(server, "moved", ["st-A-1"]);
  const organiser = await person(browser);
  await organiser.goto(`${server.url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("link", { name: "The moved show" }).click();
  const form = organiser.locator("form").filter({ has: organiser.getByRole("heading", { name: "Event details" }) });
  const save = form.getByRole("button", { name: "Save" });
  await form.getByLabel("Subtitle, such as the tour or the support act").fill("With an orchestra");
  await save.click();
  await form.getByText("Saved. Fans read it from now on.").waitFor();
  const tell = form.getByRole("button", { name: "Tell buyers" });
  assert.equal(await tell.isVisible(), false, "of a subtitle");
  await form.getByLabel("Start", { exact: true }).fill("2099-06-06T20:00");
  await save.click();
  await tell.waitFor();
  await accessible(organiser, "the offer to tell buyers");
  await shoot(organiser, "console-tell-buyers");
  const url = "/api/v1/organiser/events/moved/mails/changes";
  assert.deepEqual(await server.call("GET", url), { is_set_up: true, latest: null });
  await tell.click();
  await form.getByText("1 sent, 0 waiting. All buyers were told.").waitFor();
  const told = mails.filter((mail) => mail.includes("Subject: Changed: The moved show"));
  assert.equal(told.length, 1);
  const plain = told[0].replaceAll("=\n", "");
  for (const part of ["Friday, 5 June 2099, 20:00", "Saturday, 6 June 2099, 20:00", order.id])
    assert.ok(plain.includes(part), `${part}: ${plain}`);
  await save.click();
  await form.getByText("Saved. Fans read it from now on.").waitFor();
  assert.equal(await tell.isVisible(), false, "of what they know");
  sound(organiser);
});
