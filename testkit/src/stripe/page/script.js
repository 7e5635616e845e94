// The part of Stripe's script that a checkout uses: the form for cards in a frame, and 3-D Secure in another.
(() => {
  const home = new URL(document.currentScript.src).origin;

  /** A frame of the stand-in's, which says when it is there. */
  const frame = (path, title) => {
    const element = document.createElement("iframe");
    element.src = `${home}${path}`;
    element.title = title;
    Object.assign(element.style, { border: "0", width: "100%", display: "block" });
    const ready = new Promise((done) => element.addEventListener("load", done, { once: true }));
    return { element, ready };
  };

  /** Says something to a frame, and waits for its answer. */
  const ask = ({ element, ready }, message) =>
    new Promise((answered) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = (event) => answered(event.data);
      ready.then(() => element.contentWindow.postMessage(message, home, [port2]));
    });

  /** Has the bank ask who pays, over the whole page. */
  const challenge = async (intent) => {
    const shown = frame(`/v3/challenge/${intent.id}`, "3-D Secure");
    Object.assign(shown.element.style, { position: "fixed", inset: "0", height: "100%", zIndex: "9999" });
    document.body.append(shown.element);
    shown.element.focus();
    const ended = await ask(shown, {});
    shown.element.remove();
    return ended;
  };

  class Elements {
    constructor(key, { clientSecret, locale = "auto" }) {
      this.key = key;
      this.clientSecret = clientSecret;
      this.locale = locale;
    }

    create(kind) {
      if (kind !== "payment") throw new Error(`There is no element '${kind}' here`);
      return {
        mount: (box) => {
          this.card = frame("/v3/card", "Secure payment input frame");
          this.card.element.style.height = "11rem";
          // Stripe's own form is in this language; here it is only told.
          this.card.element.lang = this.locale;
          box.append(this.card.element);
        },
      };
    }
  }

  window.Stripe = (key) => ({
    elements: (options) => new Elements(key, options),
    async confirmPayment({ elements, redirect, confirmParams }) {
      if (redirect !== "if_required" && !confirmParams?.return_url) throw new Error("confirmParams.return_url");
      const { key, clientSecret } = elements;
      const told = await ask(elements.card, { key, clientSecret });
      if (told.error) return { error: told.error };
      const intent = told.status === "requires_action" ? await challenge(told) : told;
      return intent.last_payment_error ? { error: intent.last_payment_error } : { paymentIntent: intent };
    },
  });
})();
