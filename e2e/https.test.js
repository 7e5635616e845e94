// TLS by the program itself, in a browser: pages over HTTP/2, the live place over a WebSocket.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, person, sound, weigh } from "./browser.js";
import { Server } from "./server.js";

// The certificate is of no authority that anyone knows.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

let server, browser, folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fairline-https-"));
  const [certificate, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  const made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", ["req", ...made, ...named, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  [server, browser] = await Promise.all([
    Server.start({ FAIRLINE_TLS_CERT: certificate, FAIRLINE_TLS_KEY: key }),
    launch(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.end();
  await rm(folder, { recursive: true, force: true });
});

test("a browser reads pages over HTTP/2 and watches its place over a WebSocket", async () => {
  await server.event("secure", { admission: { rate_per_minute: 0 } });
  const [first, fan] = [
    await person(browser, { ignoreHTTPSErrors: true }),
    await person(browser, { ignoreHTTPSErrors: true }),
  ];
  await first.goto(`${server.url}/e/secure`);
  await first.getByRole("heading", { name: "You are next" }).waitFor();
  const opened = fan.waitForEvent("websocket");
  await fan.goto(`${server.url}/e/secure`);
  await fan.getByRole("heading", { name: "1 ahead of you" }).waitFor();
  const protocols = await fan.evaluate(() =>
    ["navigation", "resource"].flatMap((kind) =>
      performance.getEntriesByType(kind).map((entry) => /** @type {any} */ (entry).nextHopProtocol),
    ),
  );
  assert.ok(protocols.length > 3 && protocols.every((name) => name === "h2"), String(protocols));
  const socket = await opened;
  assert.ok(socket.url().startsWith("wss://"), socket.url());
  const moved = socket.waitForEvent("framereceived", (frame) => String(frame.payload).includes('"ahead":0'));
  await first.getByRole("button", { name: "Leave the line" }).click();
  await moved;
  await fan.getByRole("heading", { name: "You are next" }).waitFor();
  const cookies = await fan.context().cookies();
  assert.ok(cookies.length > 0 && cookies.every((cookie) => cookie.secure && cookie.name.startsWith("__Host-")));
  for (const page of [first, fan]) sound(page);
});

test("before the sale, with all details of the event, the queue page is at most 15 kB over HTTP/2", async () => {
  const soon = new Date(Date.now() + 3600_000).toISOString();
  await server.event("weight", {
    prequeue_opens_at: new Date(Date.now() - 60_000).toISOString(),
    sale_opens_at: soon,
    details: {
      subtitle: "With the Example Orchestra",
      venue: { name: "Great Hall", address: "1 Hall Road, 10115 Berlin" },
      starts_at: "2099-03-20T19:00:00Z",
      time_zone: "Europe/Berlin",
      description: "Two hours of music.\n\nOne break.",
      colours: { background: "#123c5a", text: "#ffffff" },
      links: { contact: "mailto:help@tickets.example", terms: "https://tickets.example/terms" },
    },
  });
  const fan = await person(browser, { ignoreHTTPSErrors: true });
  const weight = await weigh(fan);
  await fan.goto(`${server.url}/e/weight`);
  await fan.getByText("Great Hall").waitFor();
  await fan
    .locator("#countdown")
    .getByText(/^Opens in/)
    .waitFor();
  assert.ok(weight.bytes > 3000 && weight.bytes <= 15_000, `${weight.bytes} bytes with heads`);
  sound(fan);
});
