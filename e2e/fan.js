// A fan without a browser, for tests that need orders.
import assert from "node:assert/strict";

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
