// @ts-check
// Razorpay's checkout: a window of Razorpay's over the page. Card numbers never reach this site.

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
      reject(new Error("Razorpay's window could not be loaded. Your seats are kept: try again."));
    };
    document.head.append(script);
  });
  return loading;
}

/**
 * Lets the fan pay an order. Answers whether the money is on its way; if not, the order knows why, or
 * the fan closed the window. One window is one attempt: after a decline the order has another.
 * @param {any} order @param {(method: string, path: string, options: any) => Promise<any>} call
 * @returns {Promise<boolean>}
 */
export async function payByRazorpay(order, call) {
  await load();
  const paid = await new Promise((resolve) => {
    const checkout = new /** @type {any} */ (window).Razorpay({
      key: order.payment.key_id,
      order_id: order.payment.order_id,
      amount: order.total.amount,
      currency: order.total.currency,
      name: document.title,
      prefill: order.buyer ?? {},
      retry: { enabled: false },
      handler: resolve,
      modal: { ondismiss: () => resolve(null), escape: false },
    });
    checkout.on("payment.failed", () => {
      checkout.close();
      resolve(null);
    });
    checkout.open();
  });
  if (!paid) return false;
  const { razorpay_payment_id, razorpay_order_id, razorpay_signature } = paid;
  const body = { razorpay_payment_id, razorpay_order_id, razorpay_signature };
  // Razorpay tells the server too, only later.
  await call("POST", `/api/v1/payments/razorpay/${order.payment.id}`, { body }).catch(() => null);
  return true;
}
