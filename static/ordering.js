// @ts-check
// Ordering: while its store is slow, the server accepts an order and makes it later.

/**
 * Orders what is held. A try that failed is repeated with the same key: it makes no second order.
 * @param {typeof import("./api.js").call} call asks with the fan's session
 * @param {{hold: string, buyer: {name: string, email: string}}} body
 * @param {string} key
 * @param {() => void} isAccepted called when the order is accepted and not made yet
 * @returns {Promise<any>} the order
 */
export async function placeOrder(call, body, key, isAccepted) {
  // Not in the body: servers of the version before, beside which this one may run, refuse unknown fields.
  const language = document.documentElement.lang;
  let order = await call("POST", "/api/v1/orders", { body, key, prefer: "respond-async", language });
  if (order.state === "pending") isAccepted();
  while (order.state === "pending") {
    await new Promise((later) => setTimeout(later, 1000));
    order = await call("GET", `/api/v1/orders/${order.id}?until=${order.until}`);
  }
  return order;
}
