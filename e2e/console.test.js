// The organiser's console when something does not work.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, person, sound } from "./browser.js";
import { KEY, Server } from "./server.js";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([
    Server.start({ FAIRLINE_ORGANISER_KEYS: "vi:viewer:viewer-key-0123456789" }),
    launch(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

async function open(key) {
  const page = await person(browser);
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "The evening show" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  return page;
}

test("buttons of the dashboard say what went wrong", async () => {
  await server.event("evening");
  const viewer = await open("viewer-key-0123456789");
  await viewer.getByRole("button", { name: "Pause" }).click();
  await viewer.getByRole("alert").filter({ hasText: "operator" }).waitFor();
  sound(viewer);
  const admin = await open(KEY);
  await server.kill();
  await admin.getByRole("button", { name: "Pause" }).click();
  await admin.getByRole("alert").filter({ hasText: "The server cannot be reached" }).waitFor();
  assert.equal(await admin.getByRole("button", { name: "Pause" }).isVisible(), true);
  const silence = admin.getByText(/^No news from the server since/);
  await silence.waitFor();
  sound(admin);
  await server.run();
  await silence.waitFor({ state: "hidden" });
});
