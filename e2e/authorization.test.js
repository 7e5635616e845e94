// A staging host behind HTTP Basic: the browser sends an `Authorization` of the site with everything, and so do our
// pages.
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";
import { launch, person, sound } from "./browser.js";
import { KEY, Server } from "./server.js";

const credentials = { username: "staging", password: "secret" };
const basic = `Basic ${Buffer.from("staging:secret").toString("base64")}`;

let server, browser, front, url;

/** A proxy that lets no one through without the password, as nginx's auth_basic does. */
function listen() {
  const on = ({ method, url: path, headers }) =>
    request({ host: "127.0.0.1", port: server.port, method, path, headers });
  front = createServer((asked, answer) => {
    if (asked.headers.authorization !== basic)
      return answer.writeHead(401, { "WWW-Authenticate": 'Basic realm="staging"' }).end();
    const asking = on(asked);
    asking.on("response", (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    asking.on("error", () => answer.destroy());
    asked.pipe(asking);
  });
  front.on("upgrade", (asked, socket) => {
    const asking = on(asked);
    asking.on("upgrade", (got, behind, first) => {
      const heads = Object.entries(got.headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join("");
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${heads}\r\n`);
      // The first message may have come together with the answer.
      socket.write(first);
      behind.pipe(socket).pipe(behind);
      for (const end of [socket, behind])
        end.on("error", () => {
          socket.destroy();
          behind.destroy();
        });
    });
    asking.on("response", () => socket.destroy());
    asking.on("error", () => socket.destroy());
    asking.end();
  });
  return new Promise((ready) => front.listen(0, "127.0.0.1", ready));
}

before(async () => {
  await listen();
  url = `http://127.0.0.1:${front.address().port}`;
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_PUBLIC_URL: url }), launch()]);
});
after(async () => {
  await browser?.close();
  front?.close();
  front?.closeAllConnections();
  await server?.end();
});

test("a fan on a host with a password of its own waits, buys and sees the tickets", async () => {
  await server.event("staging", { admission: { rate_per_minute: 6000, batch_seconds: 1, claim_seconds: 60 } });
  const ada = await person(browser, { httpCredentials: credentials });
  await ada.goto(`${url}/e/staging`);
  await ada.getByRole("link", { name: "Go to the checkout" }).click();
  await ada.getByRole("heading", { name: "Choose your seats" }).waitFor();
  await ada.getByLabel("How many").fill("2");
  await ada.getByRole("button", { name: "Find and hold" }).click();
  await ada.getByText("Held for you for").waitFor();
  await ada.getByLabel("Name").fill("Ada Lovelace");
  await ada.getByLabel("E-mail").fill("ada@example.org");
  await ada.getByRole("button", { name: "Continue to payment" }).click();
  await ada.getByLabel("Card number").fill("4242 4242 4242 4242");
  await ada.getByRole("button", { name: /^Pay / }).click();
  await ada.getByText(/Confirmed: /).waitFor();
  await ada
    .getByRole("img", { name: /QR code/ })
    .nth(1)
    .waitFor();
  sound(ada);
});

test("an organiser on a host with a password of its own signs in", async () => {
  const organiser = await person(browser, { httpCredentials: credentials });
  await organiser.goto(`${url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("heading", { name: "Sales" }).waitFor();
  assert.equal((await organiser.getByText("The staging show").count()) > 0, true);
  sound(organiser);
});
