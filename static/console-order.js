// @ts-check
// The console's pages of one order with its money, and of the payments that need a look.
import { call, locale, phrase } from "./api.js";
import { api, atEnd, button, field, form, may, page, table } from "./console.js";
import { orderMails } from "./console-mails.js";
import { reseatForm } from "./console-reseat.js";
import { invoiceList, savePdf } from "./invoices.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";
import { categoryName, priceLines } from "./price.js";

const AGAIN_MS = 5000;

export const orderStates = [
  "paying",
  "confirming",
  "confirmed",
  "declined",
  "expired",
  "cancelled",
  "refunding",
  "refunded",
  "needs_review",
];
/** @param {string} state */
export const orderState = (state) => phrase(`console.order.state.${state}`) || state;

/** @param {string} state */
const paymentState = (state) => phrase(`console.payment.state.${state}`);

/** Why a payment needs a look. @param {string} reason */
export const reasonOf = (reason) => phrase(`console.review.reason.${reason}`) || reason;

/** What a settlement is called, and what is asked before. @param {any} review @param {string} how @returns {[string, string]} */
function settlement(review, how) {
  const amount = money(review.amount);
  const taken = review.state === "captured";
  const stays = ["refunded_elsewhere", "disputed"].includes(review.reason);
  /** @type {Record<string, [string, string]>} */
  const all = {
    ask_again: [phrase("console.settle.ask_again"), ""],
    keep: stays
      ? [phrase("console.settle.stay_valid"), ""]
      : [phrase("console.settle.keep"), phrase("console.settle.keep.sure")],
    take_back_seats: [phrase("console.settle.void"), phrase("console.settle.void.sure")],
    give_back: taken
      ? [phrase("console.settle.refund"), phrase("console.settle.refund.sure", { amount })]
      : [phrase("console.settle.cancel"), phrase("console.settle.cancel.sure", { amount })],
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
  return review
    ? phrase("console.settle.not_yet", { reason: reasonOf(review.reason), detail: review.detail })
    : phrase("console.settle.done");
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
  const invoices = make("ul", { className: "prices", "aria-label": phrase("console.order.invoices") });
  const tickets = make("button", { type: "button", hidden: true }, phrase("console.order.pdf"));
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
    buyer.textContent = who ? [who.name, who.email].filter(Boolean).join(", ") : phrase("console.order.no_buyer");
    const text = JSON.stringify(details);
    if (text === shown) return;
    shown = text;
    pill.textContent = orderState(details.order.state);
    for (const seat of details.seats) if (seat.state !== "sold") chosen.delete(seat.id);
    seats.replaceChildren(...seatTable(details, chosen, refund(details)));
    tickets.hidden = !may("operator") || details.seats.every((/** @type {any} */ seat) => seat.state !== "sold");
    const one = (/** @type {any} */ payment) => paymentCard(payment, details.seats, chosen, settled);
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
    const who = details.order.buyer?.name ?? phrase("console.refund.buyer");
    const key = ids ? "console.refund.sure" : "console.refund.sure_all";
    if (!confirm(phrase(key, { amount: back, who, seats: places(sold, ids ?? []) }))) return;
    await call("POST", `${url}/refund`, { body: ids ? { seats: ids } : {} });
    const now = await call("GET", url);
    draw(now);
    const payment = now.payments.at(-1);
    if (payment.review)
      tell(
        phrase("console.refund.refused", {
          amount: back,
          reason: reasonOf(payment.review.reason),
          detail: payment.review.detail,
        }),
      );
    else
      tell(
        phrase(payment.state === "refunding" ? "console.refund.under_way" : "console.refund.done", { amount: back }),
      );
  };
  const { order } = first;
  const moving = reseatForm(order.event, url, async (reseated) => {
    await reload();
    const { from_label: from, to_label: to } = reseated.tickets[0];
    const amount = reseated.refund.amount && money(reseated.refund);
    tell(phrase(amount ? "console.reseat.done_refund" : "console.reseat.done", { from, to, amount }));
  });
  page(
    make("p", {}, make("a", { href: `#/event/${order.event}` }, phrase("console.back"))),
    make(
      "div",
      { className: "heading" },
      make("h1", {}, phrase("console.orders.column.order")),
      pill,
      make("code", {}, order.id),
    ),
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
      return phrase("console.order.corrected");
    },
    field(phrase("console.name"), {
      name: "name",
      value: buyer.name,
      required: true,
      maxLength: 200,
      autocomplete: "off",
    }),
    field(phrase("console.email"), {
      name: "email",
      type: "email",
      value: buyer.email,
      required: !!buyer.email,
      autocomplete: "off",
    }),
    make("button", {}, phrase("console.order.correct")),
  );
  return make("details", { className: "above" }, make("summary", {}, phrase("console.order.correct_buyer")), correct);
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
      ? phrase("console.refund.chosen_for", { amount: amountOf(details, sold, [...chosen]) })
      : phrase("console.refund.chosen");
  };
  label();
  const columns = [...(mayChoose ? ["choose"] : []), "seat", "category", "price", "state"];
  const rows = table(
    columns.map((name) => phrase(`console.order.column.${name}`)),
    details.seats,
    (/** @type {any} */ seat) => {
      const box = make("input", {
        type: "checkbox",
        checked: chosen.has(seat.id),
        disabled: seat.state !== "sold",
        "aria-label": phrase("console.order.choose", { seat: seat.label ?? seat.id }),
      });
      box.addEventListener("change", () => {
        chosen.has(seat.id) ? chosen.delete(seat.id) : chosen.add(seat.id);
        label();
      });
      return [
        ...(mayChoose ? [make("td", {}, box)] : []),
        make("td", {}, seat.label ?? seat.id),
        make("td", {}, categoryName(order, seat)),
        make("td", { className: "num" }, money(seat.price)),
        make("td", {}, phrase(`console.seat.state.${seat.state}`)),
      ];
    },
  );
  const gone = [
    ...(order.refunded ? [phrase("console.order.refunded", { amount: money(order.refunded) })] : []),
    ...(order.charged_back ? [phrase("console.order.charged_back", { amount: money(order.charged_back) })] : []),
  ];
  const sums = `${[phrase("console.order.total", { amount: money(order.total) }), ...gone].join(", ")}.`;
  const all = phrase("console.refund.all", { amount: amountOf(details, sold, null) });
  const whole = button({ className: "danger" }, all, () => refund(null));
  return [
    make("h2", {}, phrase("console.seats")),
    make(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": phrase("console.order.seats") },
      rows,
    ),
    make("ul", { className: "prices" }, ...priceLines(order.lines)),
    make("p", {}, sums),
    ...(mayRefund ? [make("div", { className: "line" }, some, whole)] : []),
  ];
}

/** The labels of some seats; the id of one that is the order's no more. @param {any[]} seats @param {Iterable<string>} ids */
const places = (seats, ids) => [...ids].map((id) => seats.find((seat) => seat.id === id)?.label ?? id).join("; ");

/** @param {any} part of a payment that was refunded @param {any[]} seats */
function refundedFor(part, seats) {
  const moved = (part.differences ?? []).map((/** @type {any} */ one) => one.seat);
  if (moved.length) return phrase("console.refund.move", { seats: places(seats, moved) });
  return places(seats, part.seats) || phrase(part.done ? "console.refund.no_seat" : "console.refund.rest");
}

/** @param {any} payment @param {any[]} seats @param {Set<string>} chosen @param {(details: any, payment: string) => void} settled */
function paymentCard(payment, seats, chosen, settled) {
  const facts = [
    phrase("console.payment.attempt", { number: payment.attempt, provider: payment.provider }),
    phrase("console.payment.taken", { taken: money(payment.captured), amount: money(payment.amount) }),
    ...(payment.refunded.amount ? [phrase("console.payment.refunded", { amount: money(payment.refunded) })] : []),
    ...(payment.charged_back.amount
      ? [phrase("console.payment.charged_back", { amount: money(payment.charged_back) })]
      : []),
  ];
  const told = (/** @type {any} */ step, /** @type {number} */ at) =>
    step.state === "captured" && !step.note && payment.history[at - 1]?.state === "refunding"
      ? phrase("console.payment.part_refunded")
      : paymentState(step.state);
  const steps = payment.history.map((/** @type {any} */ step, /** @type {number} */ at) =>
    make(
      "li",
      {},
      make("time", { dateTime: step.at }, new Date(step.at).toLocaleString(locale)),
      ` ${told(step, at)}${step.note ? ` (${step.note.replaceAll("_", " ")})` : ""}`,
    ),
  );
  const parts = payment.refunds.map((/** @type {any} */ part) =>
    make(
      "li",
      {},
      phrase(part.done ? "console.refund.part_done" : "console.refund.part", {
        amount: money(part.amount),
        what: refundedFor(part, seats),
      }),
    ),
  );
  const disputes = payment.disputes.map((/** @type {any} */ one) => {
    const isDue = one.due_at && one.state === "open";
    const words = phrase(isDue ? "console.dispute.due" : "console.dispute", {
      amount: money(one.amount),
      reason: one.reason.replaceAll("_", " "),
      state: phrase(`console.dispute.state.${one.state}`),
      time: isDue ? new Date(one.due_at).toLocaleString(locale) : "",
    });
    return make("li", {}, `${words} `, make("code", {}, one.id));
  });
  // The refund of what was left of the order names no seats, and is not among the others.
  const back = payment.refunds.reduce(
    (/** @type {number} */ sum, /** @type {any} */ one) => sum + one.amount.amount,
    0,
  );
  const rest = { ...payment.refunded, amount: payment.refunded.amount - back };
  if (parts.length && rest.amount > 0)
    parts.push(
      make("li", {}, phrase("console.refund.part_done", { amount: money(rest), what: phrase("console.refund.rest") })),
    );
  return make(
    "section",
    { className: "card" },
    make("h2", {}, paymentState(payment.state)),
    make("p", {}, facts.join(" · ")),
    ...(payment.reference
      ? [
          make(
            "p",
            { className: "soft" },
            `${phrase("console.payment.reference")} `,
            make("code", {}, payment.reference),
          ),
        ]
      : []),
    ...(payment.outside
      ? [make("p", { className: "note" }, phrase("console.payment.outside", { note: payment.outside }))]
      : []),
    ...(payment.review ? reviewBox(payment.review, seats, chosen, settled) : []),
    ...(parts.length ? [make("h3", {}, phrase("console.payment.refunds")), make("ul", {}, ...parts)] : []),
    ...(disputes.length ? [make("h3", {}, phrase("console.payment.disputes")), make("ul", {}, ...disputes)] : []),
    ...(steps.length
      ? [make("h3", {}, phrase("console.history")), make("ol", { className: "history" }, ...steps)]
      : []),
  );
}

/** @param {any} review @param {any[]} seats @param {Set<string>} chosen @param {(details: any, payment: string) => void} settled */
function reviewBox(review, seats, chosen, settled) {
  const then = (/** @type {any} */ details) => settled(details, review.payment);
  const buttons = may("operator")
    ? simple(review).map((/** @type {string} */ how) => settleButton(review, how, then))
    : [];
  if (may("operator") && review.settlements.includes("take_back_seats"))
    buttons.push(
      button({}, phrase("console.settle.take_back"), async () => {
        if (!chosen.size) throw new Error(phrase("console.settle.choose_seats"));
        if (!confirm(phrase("console.settle.take_back.sure", { seats: places(seats, chosen) }))) return;
        then(
          await call("POST", `${reviewUrl(review)}/settle`, { body: { how: "take_back_seats", seats: [...chosen] } }),
        );
      }),
    );
  return [
    make(
      "p",
      { className: "warn" },
      make("strong", {}, phrase("console.review.needed")),
      ` ${reasonOf(review.reason)}`,
    ),
    make(
      "p",
      { className: "soft" },
      phrase("console.review.since", { time: new Date(review.since).toLocaleString(locale), detail: review.detail }),
    ),
    ...(buttons.length ? [make("div", { className: "line" }, ...buttons)] : []),
    ...(may("admin") && review.outside.length ? [outsideForm(review, then)] : []),
  ];
}

/** @param {any} review @param {(details: any) => void} then */
function outsideForm(review, then) {
  const options = review.outside.map((/** @type {string} */ value) =>
    make("option", { value }, phrase(`console.outside.${value}`)),
  );
  return make(
    "details",
    {},
    make("summary", {}, phrase("console.outside")),
    form(
      {},
      async (f) => {
        const body = { outcome: f.elements.outcome.value, note: f.elements.note.value };
        then(await call("POST", `${reviewUrl(review)}/settle-outside`, { body }));
      },
      field(phrase("console.outside.note"), {
        name: "note",
        required: true,
        maxLength: 500,
      }),
      field(phrase("console.outside.so"), { name: "outcome" }, "select", ...options),
      make("button", {}, phrase("console.outside.mark")),
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
      "aria-label": phrase("console.reviews.title"),
    });
    const told = make("p", { className: "note", role: "status", hidden: true });
    const again = async (/** @type {any} */ details, /** @type {string} */ payment) => {
      told.textContent = outcome(details, payment);
      told.hidden = false;
      draw(await reviews());
    };
    const draw = (/** @type {any[]} */ all) =>
      list.replaceChildren(
        all.length ? reviewTable(all, again) : make("p", { className: "soft" }, phrase("console.reviews.none")),
      );
    page(make("h1", {}, phrase("console.reviews.title")), told, make("section", { className: "card" }, list));
    draw(first);
  };
}

/** @param {any[]} all @param {(details: any, payment: string) => Promise<void>} then */
function reviewTable(all, then) {
  const columns = ["since", "sale", "order", "amount", "why", "settle"];
  const headings = columns.map((name) => phrase(`console.reviews.column.${name}`));
  return table(headings, all, (review) => {
    const link = make("a", { href: `#/event/${review.event}/order/${review.order}` }, review.order.slice(0, 12));
    const buttons = simple(review).map((/** @type {string} */ how) =>
      settleButton(review, how, (details) => then(details, review.payment)),
    );
    return [
      make("td", {}, new Date(review.since).toLocaleString(locale)),
      make("td", {}, review.event),
      make("td", {}, link),
      make("td", { className: "num" }, money(review.amount)),
      make("td", {}, `${reasonOf(review.reason)} `, make("span", { className: "soft", lang: "en" }, review.detail)),
      make("td", {}, ...(may("operator") ? buttons : [])),
    ];
  });
}

/** A note on the list of sales, where there is something to be seen. */
export async function reviewsNote() {
  const all = await reviews().catch(() => []);
  if (!all.length) return [];
  const link = make("a", { href: "#/reviews" }, phrase("console.reviews.link"));
  const what = phrase("console.reviews.count", { count: all.length });
  return [make("p", { className: "note" }, `${what} `, link)];
}
