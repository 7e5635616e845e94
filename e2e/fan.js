// Fans who order, without a browser and with one.
import assert from "node:assert/strict";
import { person } from "./browser.js";

/** Buys seats, and returns the order. */
export async function buy(server, event, seats, name = "Ada") {
  const call = async (method, path, bearer, body) => {
    const headers = { "Content-Type": "application/json", ...(bearer && { Authorization: `Bearer ${bearer}` }) };
    const answer = await fetch(`${server.url}/api/v1${path}`, { method, headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
  };
  let place = await call("POST", `/events/${event}/line`);
  const { pass } = place;
  while (!place.token) place = await call("GET", `/events/${event}/line/me`, pass);
  const { session } = await call("POST", `/events/${event}/sessions`, place.token);
  const hold = await call("POST", `/events/${event}/holds`, session, { seats });
  const order = await call("POST", "/orders", session, { hold: hold.id, buyer: { name, email: "ada@example.org" } });
  const card = { card: "4242424242424242" };
  return call("POST", `/payments/simulated/${order.payment.id}`, session, card);
}

/** Joins in a browser, is admitted and orders seats, up to the payment. */
export async function orderInBrowser(browser, server, event, seats, options = {}) {
  const fan = await person(browser, { locale: "en-US", ...options });
  await fan.goto(`${server.url}/e/${event}`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByLabel("How many").fill(String(seats));
  await fan.locator("#category").selectOption("stalls");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByLabel("Name").fill("Ada Lovelace");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  return fan;
}
