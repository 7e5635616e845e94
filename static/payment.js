// @ts-check
// Stripe's form for cards. It is in a frame of Stripe's: card numbers never reach this site.

/** @type {Promise<any> | undefined} */
let loading;

/** Loads Stripe's script. @param {string} key */
function load(key) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "https://js.stripe.com/v3/";
    script.onload = () => resolve(/** @type {any} */ (window).Stripe(key));
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error("The form for cards could not be loaded. Your seats are kept: try again."));
    };
    document.head.append(script);
  });
  return loading;
}

/** The form in a box of the page, for one payment after the other. */
export class CardForm {
  /** @type {any} */ #elements = null;
  #secret = "";

  /** @param {HTMLElement} box @param {HTMLButtonElement} button @param {string} key */
  constructor(box, button, key) {
    this.box = box;
    this.button = button;
    this.key = key;
  }

  /** Shows the form for a payment; nothing until its secret is known. @param {string} secret */
  async show(secret) {
    if (!secret || secret === this.#secret) return;
    this.#secret = secret;
    try {
      const stripe = await load(this.key);
      if (secret !== this.#secret) return;
      this.box.replaceChildren();
      this.#elements = stripe.elements({ clientSecret: secret });
      this.#elements.create("payment").mount(this.box);
      this.button.disabled = false;
    } catch (problem) {
      this.#secret = "";
      throw problem;
    }
  }

  /** Pays, with 3-D Secure where the card asks for that. Answers whether the money is on its way; the order knows why not. */
  async pay() {
    this.button.disabled = true;
    try {
      const stripe = await load(this.key);
      const { error } = await stripe.confirmPayment({
        elements: this.#elements,
        redirect: "if_required",
        confirmParams: { return_url: location.href },
      });
      if (error?.type === "validation_error") throw new Error(error.message);
      return !error;
    } finally {
      this.button.disabled = false;
    }
  }
}

/** Says why a card was declined. @param {string} reason */
export function declined(reason) {
  /** @type {Record<string, string>} */
  const words = {
    insufficient_funds: "The card has not enough funds.",
    expired_card: "The card has expired.",
    wrong_details: "The details of the card are not right.",
    not_authenticated: "Your bank could not confirm that it is you.",
    cancelled: "The payment was cancelled.",
  };
  return words[reason] || "The card was declined.";
}
