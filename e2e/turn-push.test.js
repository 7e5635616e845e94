// Fans who are notified of their turn by their browser.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { Server } from "./server.js";
import { accessible, isNarrow, launch, offered, person, shoot, sound, until } from "./browser.js";
import { pushService } from "./push-service.js";

let server, browser, service;
before(async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  service = await pushService();
  server = await Server.start({
    FAIRLINE_PUSH_KEY: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    FAIRLINE_PUSH_CONTACT: "mailto:tech@arena.example",
    FAIRLINE_PUSH_SERVICES: "127.0.0.1",
    FAIRLINE_WEBHOOK_NETWORKS: "127.0.0.0/8",
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
  service?.end();
});

/** Opens the page on a phone whose browser subscribes at our push service: no real one is reached from here. */
async function openPage(event, name, permissions) {
  const fan = await person(browser, { viewport: { width: 320, height: 640 }, permissions });
  await fan.addInitScript((subscription) => {
    PushManager.prototype.subscribe = async (options) => {
      globalThis.subscribedWith = options;
      return { toJSON: () => ({ ...subscription, expirationTime: null }) };
    };
  }, service.subscription);
  const link = await offered(fan, `${server.url}/e/${event}`, name);
  await link.click();
  return fan;
}

test("a fan is notified of the turn by the worker, and its notification leads to the line", async () => {
  await server.event("turn", { paused: true, name: "Night of <lights>" });
  const fan = await openPage("turn", "Notify this device", ["notifications"]);
  await fan.getByRole("heading", { name: "A notification when it is your turn" }).waitFor();
  assert.ok(!(await fan.getByLabel("E-mail").isVisible()), "no mail is sent here");
  await accessible(fan, "the page that offers a notification");
  assert.ok(await isNarrow(fan));
  await shoot(fan, "turn-push", { fullPage: true });
  // The browser says which registration has its worker.
  const devtools = await fan.context().newCDPSession(fan);
  const registrations = [];
  devtools.on("ServiceWorker.workerRegistrationUpdated", (event) => registrations.push(...event.registrations));
  await devtools.send("ServiceWorker.enable");
  await fan.getByRole("button", { name: "Notify this device" }).click();
  await fan.getByText("This device is notified when it is your turn.").waitFor();
  await accessible(fan, "the page after the browser has subscribed");
  await shoot(fan, "turn-push-on", { fullPage: true });
  const options = await fan.evaluate("subscribedWith");
  assert.equal(options.userVisibleOnly, true);
  const key = await fan.locator("body").getAttribute("data-key");
  assert.equal(options.applicationServerKey, key);

  await server.call("PATCH", "/api/v1/organiser/events/turn", { paused: false });
  await until(async () => service.messages.length + service.wrong.length > 0);
  assert.deepEqual(service.wrong, []);
  assert.deepEqual(service.senders, [key]);
  const { registrationId, scopeURL } = registrations.find(({ scopeURL }) => scopeURL.endsWith("/static/push/"));
  assert.equal(scopeURL, `${server.url}/static/push/`);
  const data = service.messages[0];
  await devtools.send("ServiceWorker.deliverPushMessage", { origin: server.url, registrationId, data });
  const shown = () =>
    fan.evaluate(async () => {
      const [registration] = await navigator.serviceWorker.getRegistrations();
      const all = await registration.getNotifications();
      return all.map(({ title, body, lang, tag }) => ({ title, body, lang, tag }));
    });
  await until(async () => (await shown()).length > 0);
  const [notification] = await shown();
  assert.equal(notification.title, "It is your turn: Night of <lights>");
  assert.match(notification.body, /^It is your turn\. Come by /);
  assert.equal(notification.lang, "en");
  // A message that comes twice replaces itself.
  await devtools.send("ServiceWorker.deliverPushMessage", { origin: server.url, registrationId, data });
  assert.equal((await shown()).length, 1);
  const worker = fan.context().serviceWorkers()[0];
  const opened = await worker.evaluate(async () => {
    const scope = /** @type {any} */ (self);
    const [notification] = await scope.registration.getNotifications();
    scope.clients.matchAll = async () => [];
    const opening = new Promise((done) => (scope.clients.openWindow = async (url) => done(url)));
    scope.dispatchEvent(new scope.NotificationEvent("notificationclick", { notification }));
    return opening;
  });
  assert.equal(opened, `${server.url}/e/turn`);
  sound(fan);
});

test("a browser that allows no notifications says so in German, and one that did is told no more", async () => {
  await server.event("abend", { paused: true, details: { language: "de" } });
  const denied = await openPage("abend", "Dieses Gerät benachrichtigen", []);
  await denied.evaluate(() => {
    Notification.requestPermission = async () => "denied";
  });
  await denied.getByRole("button", { name: "Dieses Gerät benachrichtigen" }).click();
  await denied.getByText("Der Browser erlaubt keine Benachrichtigungen dieser Seite.").waitFor();
  assert.ok(await isNarrow(denied));
  await shoot(denied, "turn-push-denied", { fullPage: true });
  const fan = await openPage("abend", "Dieses Gerät benachrichtigen", ["notifications"]);
  await fan.getByRole("button", { name: "Dieses Gerät benachrichtigen" }).click();
  await fan.getByText("Dieses Gerät wird benachrichtigt, wenn Sie an der Reihe sind.").waitFor();
  await fan.getByRole("button", { name: "Nicht benachrichtigen" }).click();
  await fan.getByText("Dieses Gerät wird nicht benachrichtigt.").waitFor();
  // The place is left in another tab.
  const left = () => fetch("/api/v1/events/abend/line/me", { method: "DELETE" }).then(({ status }) => status);
  assert.equal(await fan.evaluate(left), 204);
  await fan.getByRole("button", { name: "Dieses Gerät benachrichtigen" }).click();
  await fan.getByText("Dafür brauchen Sie einen Platz").waitFor();
  for (const page of [denied, fan]) sound(page);
});
