// Tickets for adults and children: prices set in the console, chosen in the basket, and read at the door.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { KEY, Server } from "./server.js";

const DOOR = "door-key-0123456789";
let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ FAIRLINE_ORGANISER_KEYS: `gate:door:${DOOR}` }), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const fast = { admission: { rate_per_minute: 6000, batch_seconds: 1 } };
const checkout = (id) => `/api/v1/organiser/events/${id}/checkout`;

/** The texts of a list's lines. */
const lines = async (list) =>
  (await list.locator("li > span:first-child").allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());

/** A fan who holds the two best seats of the stalls. */
async function holder(id, options = {}) {
  const fan = await person(browser, { locale: "en-US", ...options });
  await fan.goto(`${server.url}/e/${id}`);
  await fan.getByRole("link", { name: "Go to the checkout" }).click();
  await fan.getByLabel("How many").fill("2");
  await fan.locator("#category").selectOption("stalls");
  await fan.getByRole("button", { name: "Find and hold" }).click();
  await fan.getByRole("button", { name: "Continue to payment" }).waitFor();
  return fan;
}

async function continueToPayment(fan) {
  await fan.getByLabel("Name").fill("Ada");
  await fan.getByLabel("E-mail").fill("ada@example.org");
  await fan.getByRole("button", { name: "Continue to payment" }).click();
}

test("an organiser adds a ticket type, a fan chooses it, and the door reads it", async () => {
  await server.event("family", fast);
  const fee = { name: "Service", per: "ticket", percent: "10" };
  await server.call("PATCH", checkout("family"), { fees: [fee] });

  const organiser = await person(browser, { locale: "en-US" });
  await organiser.goto(`${server.url}/organiser`);
  await organiser.getByLabel("Organiser key").fill(KEY);
  await organiser.getByRole("button", { name: "Sign in" }).click();
  await organiser.getByRole("link", { name: "The family show" }).click();
  const stalls = organiser.getByRole("group", { name: "Stalls" });
  assert.equal(await stalls.getByLabel("Name of the usual ticket").isVisible(), false);
  await stalls.getByRole("button", { name: "Add a ticket type" }).click();
  const type = stalls.getByRole("group", { name: "Ticket type" });
  await organiser.keyboard.type("Child");
  await type.getByLabel("Price in EUR").fill("20");
  await type.getByLabel("At most in one order").fill("0");
  await type.getByLabel("Note").fill("up to 12 years");
  await type.getByLabel("Only together with another ticket").check();
  await stalls.getByLabel("Name of the usual ticket").fill("Adult");
  await type.getByLabel("At most in one order").fill("4");
  await organiser.getByRole("button", { name: "Save prices" }).click();
  await organiser.getByRole("alert").getByText("Saved. Seats that are held from now on").waitFor();
  await accessible(organiser, "the prices in the console");
  await shoot(organiser, "ticket-types-console", { fullPage: true });
  const { prices } = await server.call("GET", checkout("family"));
  const child = {
    id: "child",
    name: "Child",
    price: 2000,
    max_per_order: 4,
    accompanied: true,
    note: "up to 12 years",
  };
  assert.deepEqual(prices, [{ category: "stalls", standard_name: "Adult", ticket_types: [child] }]);
  // Saved again as it is shown, nothing changes.
  await organiser.reload();
  await organiser.getByRole("button", { name: "Save prices" }).click();
  await organiser.getByRole("alert").getByText("Saved. Seats that are held from now on").waitFor();
  assert.deepEqual((await server.call("GET", checkout("family"))).prices, prices);
  sound(organiser);

  const fan = await holder("family", { viewport: { width: 320, height: 640 } });
  const [first, second] = await fan.getByLabel(/^Ticket for Stalls, row/).all();
  const options = ["Adult · €65.00", "Child (up to 12 years) · €20.00"];
  assert.deepEqual(await first.locator("option").allInnerTexts(), options);
  assert.equal(await fan.locator("#total").innerText(), "€143.00");
  // The types are chosen before the details, from the first seat on.
  assert.equal(await first.evaluate((select) => select === document.activeElement), true);
  const [above, beneath] = [await second.boundingBox(), await fan.getByLabel("Name").boundingBox()];
  assert.ok(above.y < beneath.y);
  await fan.keyboard.press("Tab");
  await fan.keyboard.press("ArrowDown");
  await fan.locator("#total").getByText("€93.50").waitFor();
  // The keyboard stays where it was, though the basket is another.
  assert.match(await fan.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? ""), /^Ticket for/);
  assert.equal(await second.inputValue(), "child");
  await accessible(fan, "a basket with ticket types");
  assert.ok(await fan.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await shoot(fan, "ticket-types-basket", { fullPage: true });
  await first.selectOption("child");
  await fan.getByText("“Child” is sold only together with a ticket of another type.").waitFor();
  assert.equal(await first.inputValue(), "standard");
  assert.equal(await fan.locator("#total").innerText(), "€93.50");
  // The choice is kept over a reload.
  await fan.reload();
  await fan.locator("#total").getByText("€93.50").waitFor();
  await continueToPayment(fan);
  await fan.getByLabel("Card number").fill("4242 4242 4242 4242");
  assert.equal(await fan.locator("#total").innerText(), "€93.50");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText("€93.50 paid").waitFor();
  await fan.getByText("Stalls, Adult · €65.00").waitFor();
  await fan.getByText("Stalls, Child · €20.00").waitFor();
  assert.deepEqual(await lines(fan.locator("#lines")), ["Stalls, Adult", "Stalls, Child", "Service"]);
  await accessible(fan, "an order with ticket types");
  await shoot(fan, "ticket-types-order", { fullPage: true });
  sound(fan);

  const { orders } = await server.call("GET", "/api/v1/organiser/events/family/orders");
  const bundle = await server.call("GET", "/api/v1/organiser/events/family/door-bundle");
  const ticket = bundle.tickets.find((one) => one.ticket_type.id === "child");
  assert.equal(orders[0].seats.find((seat) => seat.id === ticket.seat).price.amount, 2000);
  const door = await person(browser, { viewport: { width: 360, height: 740 } });
  await door.goto(`${server.url}/door/family`);
  await door.getByLabel("Key of this door").fill(DOOR);
  await door.getByRole("button", { name: "Sign in" }).click();
  await door.getByLabel("Name of the door").fill("North");
  await door.getByRole("button", { name: "Begin" }).click();
  await door.getByText("Works without a connection").waitFor();
  const order = await fan.evaluate(async (id) => (await fetch(`/api/v1/orders/${id}`)).json(), orders[0].id);
  const codes = order.tickets.toSorted((one) => (one.id === ticket.id ? -1 : 1)).map((one) => one.code);
  const scan = async (code) => {
    await door.getByLabel("Code of the ticket").fill(code);
    await door.getByRole("button", { name: "Check in" }).click();
  };
  await scan(codes[0]);
  await door
    .locator("#detail")
    .getByText(/^Stalls, row .* · Child$/)
    .waitFor();
  await shoot(door, "ticket-types-door");
  // By the list alone.
  await door.context().setOffline(true);
  await scan(codes[1]);
  await door
    .locator("#detail")
    .getByText(/^Stalls, row .* · Adult$/)
    .waitFor();
  sound(door);
});

test("a fan reads of a price that changed meanwhile, before anything is ordered", async () => {
  await server.event("dearer", fast);
  const child = { id: "child", name: "Child", price: 2000 };
  const prices = (price) => ({ prices: [{ category: "stalls", ticket_types: [{ ...child, price }] }] });
  await server.call("PATCH", checkout("dearer"), prices(2000));
  const fan = await holder("dearer");
  await fan
    .getByLabel(/^Ticket for Stalls, row/)
    .first()
    .selectOption("child");
  await fan.locator("#total").getByText("€85.00").waitFor();
  await server.call("PATCH", checkout("dearer"), prices(2500));
  await continueToPayment(fan);
  await fan.getByText("The price has changed since it was shown: it is €90.00 now.").waitFor();
  await fan.locator("#total").getByText("€90.00").waitFor();
  await shoot(fan, "ticket-types-changed");
  // Nor is a type sold that was taken away.
  await server.call("PATCH", checkout("dearer"), { prices: [] });
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByText("That type of ticket is not sold any more.").waitFor();
  await fan.locator("#total").getByText("€130.00").waitFor();
  await fan.getByRole("button", { name: "Continue to payment" }).click();
  await fan.getByLabel("Card number").waitFor();
  sound(fan);
});

test("an order of tickets that cost nothing asks for no card", async () => {
  await server.event("guests", fast);
  const guest = { id: "guest", name: "Guest", price: 0 };
  await server.call("PATCH", checkout("guests"), { prices: [{ category: "stalls", ticket_types: [guest] }] });
  const fan = await holder("guests");
  for (const select of await fan.getByLabel(/^Ticket for Stalls, row/).all()) await select.selectOption("guest");
  await fan.locator("#total").getByText("€0.00").waitFor();
  await continueToPayment(fan);
  await fan.getByText("Confirmed: €0.00 paid").waitFor();
  await fan.getByText("Stalls, Guest · €0.00").nth(1).waitFor();
  sound(fan);
});
