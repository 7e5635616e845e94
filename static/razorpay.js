// @ts-check
// Razorpay's checkout: a window of Razorpay's over the page. Card numbers never reach this site.
import { phrase } from "./api.js";

/** @type {Promise<void> | undefined} */
let loading;

/** Loads Razorpay's script. */
function load() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "https://checkout.razorpay.com/v1/checkout.js";
    script.onload = () => resolve();
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error(phrase("seats.no_razorpay")));
    };
    document.head.append(script);
  });
  return loading;
}

/**
 * Lets the fan pay an order. Answers what was wrong; null where the order knows of the outcome, or will soon. One window
 * is one attempt: after a decline the order has another.
 * @param {any} order @param {(method: string, path: string, options: any) => Promise<any>} call
 * @returns {Promise<string | null>}
 */
export async function payByRazorpay(order, call) {
  await load();
  const { id, key_id, order_id } = order.payment;
  /** @type {any} */
  const outcome = await new Promise((resolve) => {
    const checkout = new /** @type {any} */ (window).Razorpay({
      key: key_id,
      order_id,
      amount: order.total.amount,
      currency: order.total.currency,
      name: document.title,
      prefill: order.buyer ?? {},
      retry: { enabled: false },
      handler: resolve,
      modal: { ondismiss: () => resolve("closed"), escape: false },
    });
    checkout.on("payment.failed", () => {
      resolve("failed");
      checkout.close();
    });
    checkout.open();
  });
  if (outcome === "closed") return phrase("seats.razorpay_closed");
  if (outcome === "failed") return null;
  const { razorpay_payment_id, razorpay_order_id, razorpay_signature } = outcome;
  const body = { razorpay_payment_id, razorpay_order_id, razorpay_signature };
  // Razorpay tells the server too, only later.
  await call("POST", `/api/v1/payments/razorpay/${id}`, { body }).catch(() => null);
  return null;
}
