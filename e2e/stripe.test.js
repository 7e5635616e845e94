// Seats paid through a stand-in of Stripe, with 3-D Secure, and refunded in the console. The books of all three agree.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { accessible, launch, person, shoot, sound } from "./browser.js";
import { orderInBrowser } from "./fan.js";
import { KEY, Server, programs } from "./server.js";

const OPERATOR = "operator-Key-7c2b91d0";
const SECRET_KEY = "sk_test_stand_in_0000";
/** Cards: one that the bank asks about, one that it does not, one without funds. */
const ASKED = "4000 0025 0000 3155",
  PLAIN = "4242 4242 4242 4242",
  EMPTY = "4000 0000 0000 9995";

let server, browser, standIn, stripe;

/** Tells the stand-in something, as tests may, or asks it, as a merchant may. */
async function tell(path, fields) {
  const answer = await fetch(`${stripe}${path}`, {
    method: fields ? "POST" : "GET",
    headers: { Authorization: `Bearer ${SECRET_KEY}` },
    body: fields && new URLSearchParams(fields),
  });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

before(async () => {
  standIn = spawn(join(programs, "stripe-stand-in"), [], { stdio: ["pipe", "pipe", "inherit"] });
  [stripe] = await once(createInterface({ input: standIn.stdout }), "line");
  [server, browser] = await Promise.all([
    Server.start({
      FAIRLINE_PAYMENTS: "stripe",
      FAIRLINE_STRIPE_KEY: SECRET_KEY,
      FAIRLINE_STRIPE_PUBLISHABLE_KEY: "pk_test_stand_in_0000",
      FAIRLINE_STRIPE_WEBHOOK_SECRET: "whsec_stand_in_00000000",
      FAIRLINE_STRIPE_URL: stripe,
      FAIRLINE_STRIPE_SCRIPT_URL: `${stripe}/v3/`,
      FAIRLINE_ORGANISER_KEYS: `olga:operator:${OPERATOR}`,
    }),
    launch(),
  ]);
  await tell("/_test/endpoint", { url: `${server.url}/webhooks/stripe` });
});
after(async () => {
  await browser?.close();
  await server?.end();
  standIn.stdin.end();
});

const orderSeats = (event, seats, options) => orderInBrowser(browser, server, event, seats, options);

async function payWith(fan, number) {
  const card = fan.frameLocator('iframe[title="Secure payment input frame"]');
  await card.getByLabel("Card number").fill(number);
  await card.getByLabel("Expiration date").fill("12 / 34");
  await card.getByLabel("Security code").fill("123");
  await fan.getByRole("button", { name: /^Pay / }).click();
}

/** The page on which the bank asks who pays. */
const bank = (fan) => fan.frameLocator('iframe[title="3-D Secure"]');

async function signIn(key) {
  const page = await person(browser, { locale: "en-US" });
  await page.goto(`${server.url}/organiser`);
  await page.getByLabel("Organiser key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sales" }).waitFor();
  return page;
}

/** The program finds no difference, and the sale's figures are the money that Stripe has. */
async function checkBooks(event, kept) {
  const all = await tell("/v1/payment_intents?limit=100&expand[]=data.latest_charge");
  const own = all.data.filter((intent) => intent.metadata.event === event);
  const taken = own.map((intent) => intent.amount_received - (intent.latest_charge?.amount_refunded ?? 0));
  assert.equal(
    taken.reduce((sum, amount) => sum + amount, 0),
    kept,
    "the books of Stripe",
  );
  const sales = await server.call("GET", `/api/v1/organiser/events/${event}/sales`);
  assert.deepEqual(sales.revenue, { amount: kept, currency: "EUR" });
  const { status, said } = await server.command(
    ...["reconcile", "--from", "2020-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"],
  );
  assert.match(said, / 0 differences\./);
  assert.equal(status, 0, said);
}

test("two seats are paid with 3-D Secure and one of them is refunded in the console", async () => {
  await server.event("secure", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await orderSeats("secure", 2);
  const card = fan.frameLocator('iframe[title="Secure payment input frame"]');
  await card.getByLabel("Card number").fill("4242");
  await fan.getByRole("button", { name: /^Pay / }).click();
  await fan.getByText("Your card number is incomplete.").waitFor();
  await accessible(fan, "the form for the card");
  await shoot(fan, "stripe-card");
  await payWith(fan, ASKED);
  await bank(fan).getByRole("button", { name: "Complete authentication" }).waitFor();
  await shoot(fan, "stripe-challenge");
  await bank(fan).getByRole("button", { name: "Complete authentication" }).click();
  await fan.getByText("Confirmed: €130.00 paid.").waitFor();
  await fan
    .getByRole("img", { name: /QR code/ })
    .nth(1)
    .waitFor();
  await checkBooks("secure", 13000);

  const organiser = await signIn(OPERATOR);
  await organiser.getByRole("link", { name: "The secure show" }).click();
  await organiser
    .getByRole("row", { name: /Ada Lovelace/ })
    .getByRole("link")
    .click();
  await organiser.getByRole("heading", { name: "Order" }).waitFor();
  await organiser.getByText("Waits for the fan").waitFor();
  const first = organiser.getByRole("checkbox").first();
  const seat = (await first.getAttribute("aria-label")).replace("Choose ", "");
  await first.check();
  await accessible(organiser, "the page of an order");
  await shoot(organiser, "console-order");
  await organiser.getByRole("button", { name: "Refund the chosen seats (€65.00)" }).click();
  await organiser.getByText("€65.00 was refunded.").waitFor();
  assert.doesNotMatch(await organiser.locator("main").innerText(), /\bst-[A-Z]-\d/, "seats have their labels");
  await organiser.getByRole("row", { name: seat }).getByText("given back").waitFor();
  await organiser.getByRole("button", { name: "Refund the whole order (€65.00)" }).waitFor();
  await shoot(organiser, "console-order-refunded");

  await fan.reload();
  await fan.getByText("€130.00 paid, €65.00 given back.").waitFor();
  await fan.getByRole("img", { name: /QR code/ }).waitFor();
  assert.equal(await fan.getByRole("img", { name: /QR code/ }).count(), 1);
  assert.equal(await fan.getByRole("heading", { name: seat }).count(), 0);
  await shoot(fan, "stripe-tickets-after-refund");
  await checkBooks("secure", 6500);
  for (const page of [fan, organiser]) sound(page);
});

test("a fan who fails 3-D Secure and has a card without funds pays with a third card, on a phone", async () => {
  await server.event("failed", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const phone = { viewport: { width: 390, height: 844 }, colorScheme: "dark" };
  const fan = await orderSeats("failed", 1, phone);
  await payWith(fan, ASKED);
  await bank(fan).getByRole("button", { name: "Fail authentication" }).click();
  await fan.getByText("Your bank could not confirm that it is you. Your seats are still yours").waitFor();
  await shoot(fan, "stripe-declined-phone", { fullPage: true });
  await payWith(fan, EMPTY);
  await fan.getByText("The card has not enough funds.").waitFor();
  await payWith(fan, PLAIN);
  await fan.getByText("Confirmed: €65.00 paid.").waitFor();
  sound(fan);
  await checkBooks("failed", 6500);
  const organiser = await signIn(KEY);
  await organiser.getByRole("link", { name: "The failed show" }).click();
  await organiser.getByRole("row", { name: /Ada/ }).getByRole("link").click();
  await organiser.getByText("It failed, no money was taken (not authenticated)").waitFor();
  await organiser.getByText("It failed, no money was taken (insufficient funds)").waitFor();
  sound(organiser);
});

test("the form for the card is in the language of the page", async () => {
  await server.event("sprache", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await orderSeats("sprache", 1);
  const card = fan.locator('iframe[title="Secure payment input frame"]');
  await card.waitFor();
  assert.equal(await card.getAttribute("lang"), "en");
  await fan.getByRole("link", { name: "Deutsch" }).click();
  await fan.getByRole("button", { name: "65,00 € bezahlen" }).waitFor();
  await card.waitFor();
  assert.equal(await card.getAttribute("lang"), "de");
  sound(fan);
});

test("a payment that needs a look is settled with one click", async () => {
  await server.event("looked-at", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await orderSeats("looked-at", 1);
  await tell("/_test/faults", { operation: "capture", fault: "refused" });
  await payWith(fan, PLAIN);
  await fan.getByText("The organiser has to look at your payment.").waitFor();
  await accessible(fan, "a payment that needs a look");
  await shoot(fan, "stripe-in-review");

  const organiser = await signIn(KEY);
  await organiser.getByText("A payment needs a look.").waitFor();
  await organiser.getByRole("link", { name: "Settle them." }).click();
  const row = organiser.getByRole("row", { name: /looked-at/ });
  await row.getByText("The provider does not take the money that it reserved.").waitFor();
  await accessible(organiser, "the payments that need a look");
  await shoot(organiser, "console-reviews");
  await row.getByRole("link").click();
  await organiser.getByText("Settled outside of the provider").waitFor();
  await accessible(organiser, "an order that needs a look");
  await shoot(organiser, "console-order-in-review");
  await organiser.getByRole("link", { name: "Needs a look" }).click();
  await row.getByRole("button", { name: "Ask the provider again" }).click();
  await organiser.getByText("Nothing needs a look.").waitFor();
  await fan.getByText("Confirmed: €65.00 paid.").waitFor();
  for (const page of [fan, organiser]) sound(page);
  await checkBooks("looked-at", 6500);
});

test("while the provider is away a fan is told so, keeps the seats, and pays once it is back", async () => {
  await server.event("away", { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  await tell("/_test/faults", { operation: "create", fault: "too_many" });
  const fan = await orderSeats("away", 1);
  const away = fan.getByText("The payment provider does not answer at the moment.");
  await away.waitFor();
  await accessible(fan, "while the provider is away");
  await payWith(fan, PLAIN);
  await fan.waitForURL(/\/orders\//);
  assert.equal(await away.count(), 0);
  await checkBooks("away", 6500);
});
