// Seats paid in Razorpay's window, with a stand-in of Razorpay behind it. The window itself is a double: Razorpay's script
// is asked for at Razorpay's own address, as the content security policy allows, and answered by this test.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { launch, sound } from "./browser.js";
import { orderInBrowser } from "./fan.js";
import { Server, programs } from "./server.js";

const KEY_ID = "rzp_test_standin0000";
/** Razorpay's script, as far as a page uses it: a window that pays an order, fails to, or is closed. */
const WINDOW = `window.Razorpay = class {
  constructor(options) { this.options = options; this.failed = () => {}; }
  on(event, then) { if (event === "payment.failed") this.failed = then; }
  open() {
    this.box = document.createElement("dialog");
    this.box.setAttribute("aria-label", "Razorpay");
    const { key, order_id, amount, currency } = this.options;
    this.box.append(key + " " + amount + " " + currency);
    const button = (name, act) => {
      const button = document.createElement("button");
      button.textContent = name;
      button.onclick = act;
      this.box.append(button);
    };
    for (const card of ["card", "insufficient_funds"])
      button("Pay with " + card, async () => {
        const paid = await window.payAtRazorpay(order_id, card);
        if (paid.error) return this.failed(paid);
        this.close();
        this.options.handler(paid);
      });
    button("Close", () => { this.close(); this.options.modal.ondismiss(); });
    document.body.append(this.box);
    this.box.showModal();
  }
  close() { this.box.remove(); }
};`;

let server, browser, standIn, razorpay;

async function tell(path, fields) {
  return fetch(`${razorpay}${path}`, { method: "POST", body: new URLSearchParams(fields) });
}

before(async () => {
  standIn = spawn(join(programs, "razorpay-stand-in"), [], { stdio: ["pipe", "pipe", "inherit"] });
  [razorpay] = await once(createInterface({ input: standIn.stdout }), "line");
  [server, browser] = await Promise.all([
    Server.start({
      FAIRLINE_PAYMENTS: "razorpay",
      FAIRLINE_RAZORPAY_KEY_ID: KEY_ID,
      FAIRLINE_RAZORPAY_KEY_SECRET: "key_secret_stand_in",
      FAIRLINE_RAZORPAY_WEBHOOK_SECRETS: "webhook_secret_stand_in",
      FAIRLINE_RAZORPAY_URL: razorpay,
    }),
    launch(),
  ]);
  await tell("/_test/endpoint", { url: `${server.url}/webhooks/razorpay` });
});
after(async () => {
  await browser?.close();
  await server?.end();
  standIn.stdin.end();
});

/** Orders seats, up to the button that opens the window. */
async function orderSeats(event, seats) {
  await server.event(event, { admission: { rate_per_minute: 6000, batch_seconds: 1 } });
  const fan = await orderInBrowser(browser, server, event, seats);
  await fan.route("https://checkout.razorpay.com/v1/checkout.js", (route) =>
    route.fulfill({ contentType: "text/javascript", body: WINDOW }),
  );
  await fan.exposeFunction("payAtRazorpay", async (order, card) =>
    (await tell(`/_test/pay/${order}`, { card })).json(),
  );
  return fan;
}

const open = (fan) => fan.getByRole("button", { name: /^Pay / }).click();
const inWindow = (fan, name) => fan.getByRole("dialog", { name: "Razorpay" }).getByRole("button", { name }).click();

async function checkBooks(event, kept) {
  const sales = await server.call("GET", `/api/v1/organiser/events/${event}/sales`);
  assert.deepEqual(sales.revenue, { amount: kept, currency: "EUR" });
  const period = ["--from", "2020-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"];
  const { status, said } = await server.command("reconcile", ...period);
  assert.match(said, / 0 differences\./);
  assert.equal(status, 0, said);
}

test("seats are paid in Razorpay's window", async () => {
  const fan = await orderSeats("window", 2);
  await open(fan);
  await fan.getByText(`${KEY_ID} 13000 EUR`).waitFor();
  await inWindow(fan, "Pay with card");
  await fan.getByText("Confirmed: €130.00 paid.").waitFor();
  sound(fan);
  await checkBooks("window", 13000);
});

test("a window that is closed keeps the seats, a decline is told in words, and another card pays", async () => {
  const fan = await orderSeats("second", 1);
  await open(fan);
  await inWindow(fan, "Close");
  await fan.getByText("The window was closed before you had paid. Your seats are still yours.").waitFor();
  await open(fan);
  await inWindow(fan, "Pay with insufficient_funds");
  await fan.getByText("The card has not enough funds.").waitFor({ timeout: 60_000 });
  await open(fan);
  await inWindow(fan, "Pay with card");
  await fan.getByText("Confirmed: €65.00 paid.").waitFor();
  sound(fan);
  await checkBooks("second", 6500);
});
