// @ts-check
// Stripe's form for cards. It is in a frame of Stripe's: card numbers never reach this site.
import { phrase } from "./api.js";

/** @type {Promise<any> | undefined} */
let loading;

/** Loads Stripe's script. @param {{key: string, script: string}} from */
function load({ key, script: src }) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = src;
    script.onload = () => resolve(/** @type {any} */ (window).Stripe(key));
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error(phrase("seats.no_card_form")));
    };
    document.head.append(script);
  });
  return loading;
}

/** The form in a box of the page, for one payment after the other. */
export class CardForm {
  /** @type {any} */ #elements = null;
  #secret = "";

  /** @param {HTMLElement} box @param {HTMLButtonElement} button @param {DOMStringMap} data that of the page */
  constructor(box, button, data) {
    this.box = box;
    this.button = button;
    this.from = { key: data.stripe ?? "", script: data.stripeScript ?? "" };
  }

  /** Shows the form for a payment; nothing until its secret is known. @param {string} secret */
  async show(secret) {
    if (secret === this.#secret) return;
    this.#secret = secret;
    // The form before it is of a payment that is over.
    this.box.replaceChildren();
    this.button.disabled = true;
    if (!secret) return;
    try {
      const stripe = await load(this.from);
      if (secret !== this.#secret) return;
      this.#elements = stripe.elements({ clientSecret: secret, locale: document.documentElement.lang });
      this.#elements.create("payment").mount(this.box);
      this.button.disabled = false;
    } catch (problem) {
      this.#secret = "";
      throw problem;
    }
  }

  /**
   * Pays, with 3-D Secure where the card asks for that. Answers what was wrong with the form or its script; null where the
   * order knows of the outcome, or will soon: that the money is reserved, or why the card was declined.
   */
  async pay() {
    this.button.disabled = true;
    try {
      const stripe = await load(this.from);
      const { error } = await stripe.confirmPayment({
        elements: this.#elements,
        redirect: "if_required",
        confirmParams: { return_url: location.href },
      });
      const isDecline = error?.type === "card_error" || error?.code === "payment_intent_authentication_failure";
      return error && !isDecline ? String(error.message) : null;
    } catch (problem) {
      return /** @type {Error} */ (problem).message;
    } finally {
      this.button.disabled = false;
    }
  }
}

/** Says why a card was declined. @param {string} reason */
export function declined(reason) {
  const why = phrase(`seats.declined.${reason}`) || phrase("seats.declined");
  return phrase("seats.declined_kept", { why });
}
