// @ts-check
// The console's pages of one order with its money, and of the payments that need a look.
import { call, locale } from "./api.js";
import { api, atEnd, button, field, form, may, page, table } from "./console.js";
import { orderMails } from "./console-mails.js";
import { reseatForm } from "./console-reseat.js";
import { invoiceList, savePdf } from "./invoices.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";
import { categoryName, priceLines } from "./price.js";

const AGAIN_MS = 5000;

/** @type {Record<string, string>} */
export const orderStates = {
  paying: "waits for the payment",
  confirming: "payment being confirmed",
  confirmed: "confirmed",
  declined: "declined, may be paid again",
  expired: "expired",
  cancelled: "cancelled",
  refunding: "being refunded",
  refunded: "refunded",
  needs_review: "needs a look",
};

/** @type {Record<string, string>} */
const seatStates = {
  held: "held",
  sold: "sold",
  refunding: "money on its way back",
  refunded: "given back",
  released: "let go",
};

/** @type {Record<string, string>} */
const paymentStates = {
  created: "Begun",
  requires_action: "Waits for the fan, such as for the card or 3-D Secure",
  processing: "The provider is at work",
  authorised: "The money is reserved",
  capturing: "The seats are booked, the money is being taken",
  captured: "The money was taken",
  refunding: "Money is on its way back",
  refunded: "All of the money was given back",
  failed: "It failed, no money was taken",
  voiding: "It is being cancelled",
  voided: "It was cancelled, no money was taken",
};

/** @type {Record<string, string>} */
export const reasons = {
  other_amount: "The provider has another amount or currency than this order.",
  not_offered: "The provider does not take this payment.",
  not_captured: "The provider does not take the money that it reserved.",
  not_cancelled: "The provider does not cancel this payment.",
  not_refunded: "The provider does not refund this payment.",
  cancelled: "The provider says that this payment was cancelled, although the money was taken.",
  refunded_elsewhere: "A part was refunded at the provider itself. For which seats, only you can say.",
  disputed: "The cardholder disputes this payment at the bank. Its tickets are valid until you make them void.",
  unclear: "The provider says something about this payment that cannot be.",
};

/** What a settlement is called, and what is asked before. @param {any} review @param {string} how @returns {[string, string]} */
function settlement(review, how) {
  const amount = money(review.amount);
  const taken = review.state === "captured";
  const stays = ["refunded_elsewhere", "disputed"].includes(review.reason);
  /** @type {Record<string, [string, string]>} */
  const all = {
    ask_again: ["Ask the provider again", ""],
    keep: [
      stays ? "All tickets stay valid" : "Keep the money",
      stays ? "" : "Keep the money? The tickets that the order has are valid.",
    ],
    take_back_seats: ["Void all tickets", "Void all tickets of this order? Its seats go back on sale."],
    give_back: taken
      ? ["Give the money back", `Give ${amount} back? The seats go back on sale.`]
      : ["Cancel the order", `Cancel the payment of ${amount}? The seats go back on sale.`],
  };
  return all[how];
}

/** Settlements of one click; others need the order's page. @param {any} review */
const simple = (review) =>
  review.settlements.filter((/** @type {string} */ how) => how !== "take_back_seats" || review.reason === "disputed");

/** @param {any} review */
const reviewUrl = (review) => `${api}/events/${review.event}/orders/${review.order}/payments/${review.payment}`;

/** @param {any} review @param {string} how @param {(details: any) => Promise<string | void> | string | void} then */
function settleButton(review, how, then) {
  const [label, question] = settlement(review, how);
  return button({}, label, async () => {
    if (question && !confirm(question)) return;
    return then(await call("POST", `${reviewUrl(review)}/settle`, { body: { how } }));
  });
}

/** What became of a payment after it was settled. @param {any} details @param {string} payment */
function outcome(details, payment) {
  const { review } = details.payments.find((/** @type {any} */ one) => one.id === payment);
  return review ? `It still needs a look. ${reasons[review.reason]} (${review.detail})` : "Settled.";
}

/** @param {string} event @param {string} id @returns {Promise<() => void>} shows the page */
export async function orderPage(event, id) {
  const url = `${api}/events/${event}/orders/${id}`;
  const [details, mails] = await Promise.all([call("GET", url), orderMails(event, id), loadCurrencies()]);
  return () => show(url, details, mails);
}

/** @param {string} url @param {any} first @param {Node[]} mails */
function show(url, first, mails) {
  const pill = make("span", { className: "pill" });
  const told = make("p", { className: "note", role: "status", hidden: true });
  const seats = make("section", { className: "card wide" });
  const payments = make("div", { className: "wide stack" });
  const invoices = make("ul", { className: "prices", "aria-label": "Invoices" });
  const tickets = make("button", { type: "button", hidden: true }, "Tickets as PDF");
  tickets.addEventListener("click", () => {
    const pdf = call("GET", `${url}/tickets.pdf`);
    savePdf(`tickets-${first.order.id}`, pdf).catch((problem) => tell(problem.message));
  });
  /** @type {Set<string>} */ const chosen = new Set();
  let shown = "";
  const tell = (/** @type {string} */ text) => {
    told.textContent = text;
    told.hidden = !text;
  };
  const buyer = make("span");
  const draw = (/** @type {any} */ details) => {
    const who = details.order.buyer;
    buyer.textContent = who ? [who.name, who.email].filter(Boolean).join(", ") : "buyer not shown";
    const text = JSON.stringify(details);
    if (text === shown) return;
    shown = text;
    pill.textContent = orderStates[details.order.state] ?? details.order.state;
    for (const seat of details.seats) if (seat.state !== "sold") chosen.delete(seat.id);
    seats.replaceChildren(...seatTable(details, chosen, refund(details)));
    tickets.hidden = !may("operator") || details.seats.every((/** @type {any} */ seat) => seat.state !== "sold");
    const one = (/** @type {any} */ payment) => paymentCard(payment, chosen, settled);
    payments.replaceChildren(...details.payments.toReversed().map(one));
    moving.update(details);
    listInvoices().catch(() => {});
  };
  const listInvoices = async () => {
    const pdf = (/** @type {string} */ number) => call("GET", `${url}/invoices/${number}`);
    const all = invoiceList(await call("GET", `${url}/invoices`), pdf, (problem) => tell(problem.message));
    invoices.replaceChildren(...all);
  };
  const reload = async () => draw(await call("GET", url));
  const settled = (/** @type {any} */ details, /** @type {string} */ payment) => {
    draw(details);
    tell(outcome(details, payment));
  };
  const refund = (/** @type {any} */ details) => async (/** @type {string[] | null} */ ids) => {
    const sold = details.seats.filter((/** @type {any} */ seat) => seat.state === "sold");
    const back = amountOf(details, sold, ids);
    const who = details.order.buyer?.name ?? "the buyer";
    const what = ids ? `for ${ids.join(", ")}` : "for the whole order";
    if (!confirm(`Refund ${back} to ${who} ${what}? The tickets end now, and the seats go back on sale.`)) return;
    await call("POST", `${url}/refund`, { body: ids ? { seats: ids } : {} });
    const now = await call("GET", url);
    draw(now);
    const payment = now.payments.at(-1);
    if (payment.review)
      tell(`${back} could not be refunded. ${reasons[payment.review.reason]} (${payment.review.detail})`);
    else if (payment.state === "refunding") tell(`${back} is on its way back: the provider has not answered yet.`);
    else tell(`${back} was refunded.`);
  };
  const { order } = first;
  const moving = reseatForm(order.event, url, async (reseated) => {
    await reload();
    const { from_label: from, to_label: to } = reseated.tickets[0];
    const back = reseated.refund.amount ? ` ${money(reseated.refund)} goes back.` : "";
    tell(`Moved from ${from} to ${to}: the order has another ticket.${back}`);
  });
  page(
    make("p", {}, make("a", { href: `#/event/${order.event}` }, "Back to the sale")),
    make("div", { className: "heading" }, make("h1", {}, "Order"), pill, make("code", {}, order.id)),
    make("p", { className: "soft" }, new Date(order.created_at).toLocaleString(locale), " · ", buyer),
    told,
    ...(order.buyer && may("operator") ? [buyerForm(url, order.buyer, draw)] : []),
    ...(may("operator") ? [moving.element] : []),
    tickets,
    invoices,
    make("div", { className: "grid" }, seats, payments),
    ...mails,
  );
  draw(first);
  const timer = setInterval(() => reload().catch(() => {}), AGAIN_MS);
  atEnd(() => clearInterval(timer));
}

/** Corrects a mistyped name or address. @param {string} url @param {any} buyer @param {(details: any) => void} draw */
function buyerForm(url, buyer, draw) {
  const correct = form(
    { className: "line" },
    async ({ elements }) => {
      const [name, email] = [elements.name.value.trim(), elements.email.value.trim()];
      const body = { name, ...(email ? { email } : {}) };
      draw(await call("PATCH", url, { body }));
      return "Corrected.";
    },
    field("Name", { name: "name", value: buyer.name, required: true, maxLength: 200, autocomplete: "off" }),
    field("E-mail", { name: "email", type: "email", value: buyer.email, required: !!buyer.email, autocomplete: "off" }),
    make("button", {}, "Correct"),
  );
  return make("details", { className: "above" }, make("summary", {}, "Correct name or address"), correct);
}

/** The amount that a refund of these seats gives back; of all that are sold if none are named. @param {any} details @param {any[]} sold @param {string[] | null} ids */
function amountOf(details, sold, ids) {
  const { total, refunded, charged_back } = details.order;
  const left = total.amount - (refunded?.amount ?? 0) - (charged_back?.amount ?? 0);
  const named = sold.filter((seat) => ids?.includes(seat.id));
  if (!ids || named.length === sold.length) return money(details.refundable ?? { ...total, amount: left });
  const sum = named.reduce(
    (/** @type {number} */ sum, /** @type {any} */ seat) => sum + (seat.refund ?? seat.price).amount,
    0,
  );
  return money({ ...total, amount: Math.min(sum, left) });
}

/**
 * @param {any} details @param {Set<string>} chosen
 * @param {(ids: string[] | null) => Promise<void>} refund
 */
function seatTable(details, chosen, refund) {
  const { order } = details;
  const sold = details.seats.filter((/** @type {any} */ seat) => seat.state === "sold");
  const isMoving = details.payments.some((/** @type {any} */ one) => one.state === "refunding" || one.review);
  const mayChoose = may("operator") && order.state === "confirmed" && sold.length > 0;
  const mayRefund = mayChoose && !isMoving && !details.payments.at(-1).outside;
  const some = button({ className: "danger", disabled: true }, "", () => refund([...chosen]));
  const label = () => {
    const element = /** @type {HTMLButtonElement} */ (some.querySelector("button"));
    element.disabled = !chosen.size;
    element.textContent = chosen.size
      ? `Refund the chosen seats (${amountOf(details, sold, [...chosen])})`
      : "Refund the chosen seats";
  };
  label();
  const rows = table(
    [...(mayChoose ? ["Choose"] : []), "Seat", "Category", "Price", "State"],
    details.seats,
    (/** @type {any} */ seat) => {
      const box = make("input", {
        type: "checkbox",
        checked: chosen.has(seat.id),
        disabled: seat.state !== "sold",
        "aria-label": `Choose ${seat.label ?? seat.id}`,
      });
      box.addEventListener("change", () => {
        chosen.has(seat.id) ? chosen.delete(seat.id) : chosen.add(seat.id);
        label();
      });
      return [
        ...(mayChoose ? [make("td", {}, box)] : []),
        make("td", {}, seat.label ?? seat.id),
        make("td", {}, categoryName(order, seat)),
        make("td", {}, money(seat.price)),
        make("td", {}, seatStates[seat.state]),
      ];
    },
  );
  const gone = [
    ...(order.refunded ? [`given back ${money(order.refunded)}`] : []),
    ...(order.charged_back ? [`charged back ${money(order.charged_back)}`] : []),
  ];
  const sums = `${[`Total ${money(order.total)}`, ...gone].join(", ")}.`;
  const whole = button({ className: "danger" }, `Refund the whole order (${amountOf(details, sold, null)})`, () =>
    refund(null),
  );
  return [
    make("h2", {}, "Seats"),
    make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Seats of the order" }, rows),
    make("ul", { className: "prices" }, ...priceLines(order.lines)),
    make("p", {}, sums),
    ...(mayRefund ? [make("div", { className: "line" }, some, whole)] : []),
  ];
}

/** @param {any} part of a payment that was refunded */
function refundedFor(part) {
  const moved = (part.differences ?? []).map((/** @type {any} */ one) => one.seat);
  if (moved.length) return `the move to ${moved.join(", ")}`;
  return part.seats.join(", ") || (part.done ? "no seat that is named" : "what is left");
}

/** @param {any} payment @param {Set<string>} chosen @param {(details: any, payment: string) => void} settled */
function paymentCard(payment, chosen, settled) {
  const facts = [
    `Attempt ${payment.attempt} · ${payment.provider}`,
    `${money(payment.captured)} of ${money(payment.amount)} taken`,
    ...(payment.refunded.amount ? [`${money(payment.refunded)} given back`] : []),
    ...(payment.charged_back.amount ? [`${money(payment.charged_back)} charged back`] : []),
  ];
  const told = (/** @type {any} */ step, /** @type {number} */ at) =>
    step.state === "captured" && !step.note && payment.history[at - 1]?.state === "refunding"
      ? "A part of the money was given back"
      : paymentStates[step.state];
  const steps = payment.history.map((/** @type {any} */ step, /** @type {number} */ at) =>
    make(
      "li",
      {},
      make("time", { dateTime: step.at }, new Date(step.at).toLocaleString(locale)),
      ` ${told(step, at)}${step.note ? ` (${step.note.replaceAll("_", " ")})` : ""}`,
    ),
  );
  const parts = payment.refunds.map((/** @type {any} */ part) =>
    make("li", {}, `${money(part.amount)} ${part.done ? "given back" : "on its way back"} for ${refundedFor(part)}`),
  );
  const disputes = payment.disputes.map((/** @type {any} */ one) => {
    const until =
      one.due_at && one.state === "open" ? `, evidence until ${new Date(one.due_at).toLocaleString(locale)}` : "";
    return make(
      "li",
      {},
      `${money(one.amount)}, ${one.reason.replaceAll("_", " ")}: ${one.state}${until} `,
      make("code", {}, one.id),
    );
  });
  // The refund of what was left of the order names no seats, and is not among the others.
  const back = payment.refunds.reduce(
    (/** @type {number} */ sum, /** @type {any} */ one) => sum + one.amount.amount,
    0,
  );
  const rest = { ...payment.refunded, amount: payment.refunded.amount - back };
  if (parts.length && rest.amount > 0) parts.push(make("li", {}, `${money(rest)} given back for what was left`));
  return make(
    "section",
    { className: "card" },
    make("h2", {}, paymentStates[payment.state]),
    make("p", {}, facts.join(" · ")),
    ...(payment.reference
      ? [make("p", { className: "soft" }, "At the provider: ", make("code", {}, payment.reference))]
      : []),
    ...(payment.outside
      ? [make("p", { className: "note" }, `Settled outside of the provider: ${payment.outside}`)]
      : []),
    ...(payment.review ? reviewBox(payment.review, chosen, settled) : []),
    ...(parts.length ? [make("h3", {}, "Refunds"), make("ul", {}, ...parts)] : []),
    ...(disputes.length ? [make("h3", {}, "Disputes"), make("ul", {}, ...disputes)] : []),
    ...(steps.length ? [make("h3", {}, "History"), make("ol", { className: "history" }, ...steps)] : []),
  );
}

/** @param {any} review @param {Set<string>} chosen @param {(details: any, payment: string) => void} settled */
function reviewBox(review, chosen, settled) {
  const then = (/** @type {any} */ details) => settled(details, review.payment);
  const buttons = may("operator")
    ? simple(review).map((/** @type {string} */ how) => settleButton(review, how, then))
    : [];
  if (may("operator") && review.settlements.includes("take_back_seats"))
    buttons.push(
      button({}, "Take the chosen seats back", async () => {
        if (!chosen.size) throw new Error("Choose the seats above whose money it was.");
        if (!confirm(`Take ${[...chosen].join(", ")} back? Their tickets end, and no more money goes back.`)) return;
        then(
          await call("POST", `${reviewUrl(review)}/settle`, { body: { how: "take_back_seats", seats: [...chosen] } }),
        );
      }),
    );
  return [
    make("p", { className: "warn" }, make("strong", {}, "Needs a look. "), reasons[review.reason]),
    make("p", { className: "soft" }, `Since ${new Date(review.since).toLocaleString(locale)}: ${review.detail}.`),
    ...(buttons.length ? [make("div", { className: "line" }, ...buttons)] : []),
    ...(may("admin") && review.outside.length ? [outsideForm(review, then)] : []),
  ];
}

/** @param {any} review @param {(details: any) => void} then */
function outsideForm(review, then) {
  /** @type {Record<string, string>} */
  const words = {
    paid: "The order is paid: its tickets are valid",
    returned: "The order is not paid, or paid back: its seats are free",
  };
  const options = review.outside.map((/** @type {string} */ value) => make("option", { value }, words[value]));
  return make(
    "details",
    {},
    make("summary", {}, "Settled outside of the provider"),
    form(
      {},
      async (f) => {
        const body = { outcome: f.elements.outcome.value, note: f.elements.note.value };
        then(await call("POST", `${reviewUrl(review)}/settle-outside`, { body }));
      },
      field("What was done (it is kept with the order and in the audit log)", {
        name: "note",
        required: true,
        maxLength: 500,
      }),
      field("So that", { name: "outcome" }, "select", ...options),
      make("button", {}, "Mark as settled"),
    ),
  );
}

const reviews = () => call("GET", `${api}/reviews`);

/** @returns {Promise<() => void>} shows the page of all payments that need a look */
export async function reviewsPage() {
  const [first] = await Promise.all([reviews(), loadCurrencies()]);
  return () => {
    const list = make("div", {
      className: "scroll",
      tabIndex: 0,
      role: "region",
      "aria-label": "Payments that need a look",
    });
    const told = make("p", { className: "note", role: "status", hidden: true });
    const again = async (/** @type {any} */ details, /** @type {string} */ payment) => {
      told.textContent = outcome(details, payment);
      told.hidden = false;
      draw(await reviews());
    };
    const draw = (/** @type {any[]} */ all) =>
      list.replaceChildren(
        all.length ? reviewTable(all, again) : make("p", { className: "soft" }, "Nothing needs a look."),
      );
    page(make("h1", {}, "Payments that need a look"), told, make("section", { className: "card" }, list));
    draw(first);
  };
}

/** @param {any[]} all @param {(details: any, payment: string) => Promise<void>} then */
function reviewTable(all, then) {
  return table(["Since", "Sale", "Order", "Amount", "Why", "Settle"], all, (review) => {
    const link = make("a", { href: `#/event/${review.event}/order/${review.order}` }, review.order.slice(0, 12));
    const buttons = simple(review).map((/** @type {string} */ how) =>
      settleButton(review, how, (details) => then(details, review.payment)),
    );
    return [
      make("td", {}, new Date(review.since).toLocaleString(locale)),
      make("td", {}, review.event),
      make("td", {}, link),
      make("td", { className: "num" }, money(review.amount)),
      make("td", {}, `${reasons[review.reason]} `, make("span", { className: "soft" }, review.detail)),
      make("td", {}, ...(may("operator") ? buttons : [])),
    ];
  });
}

/** A note on the list of sales, where there is something to be seen. */
export async function reviewsNote() {
  const all = await reviews().catch(() => []);
  if (!all.length) return [];
  const link = make("a", { href: "#/reviews" }, "Settle them.");
  const what = all.length === 1 ? "A payment needs a look. " : `${all.length} payments need a look. `;
  return [make("p", { className: "note" }, what, link)];
}
