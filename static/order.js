// @ts-check
// An order with its tickets: with the session, or by the key of the signed link.
import { $, call, Problem } from "./api.js";
import { facts, showEvent } from "./event.js";
import { invoiceList, savePdf } from "./invoices.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";
import { categoryName, priceLines } from "./price.js";

const id = document.body.dataset.order || "";
const bearer = new URLSearchParams(location.search).get("key") || undefined;

/** Calls with the session first, as `Authorization` belongs to the site where it uses that itself; then by the link's
 * key. An order of very many tickets asks more often than one fan may, and waits as it is told.
 * @param {string} method @param {string} path @param {any} [body] @param {string} [key] @returns {Promise<any>} */
async function ask(method, path, body, key, tries = 0) {
  try {
    return await call(method, path, { body, bearer: key });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 429 && tries < 20) {
      const after = problem.retryAfter * 1000 * (1 + Math.random());
      await new Promise((later) => setTimeout(later, after));
      return ask(method, path, body, key, tries + 1);
    }
    if (bearer && !key && [401, 404].includes(problem.status)) return ask(method, path, body, bearer);
    throw problem;
  }
}

/** @param {any} ticket @param {any} order @param {any} about the event */
async function draw(ticket, order, about) {
  const svg = await ask("POST", "/api/v1/qr", { order: order.id, code: ticket.code });
  const seat = order.seats.find((/** @type {any} */ s) => s.id === ticket.seat);
  // A server of the version before has no labels.
  const label = ticket.label ?? ticket.seat;
  const hints = [ticket.door && `Door: ${ticket.door}`, ticket.notes].filter(Boolean);
  return make(
    "section",
    { className: "card ticket", "aria-label": `Ticket for ${label}` },
    make("img", { alt: `QR code of the ticket for ${label}`, src: `data:image/svg+xml;base64,${btoa(svg)}` }),
    make(
      "div",
      {},
      make("p", { className: "name" }, about.name),
      make("div", { className: "facts" }, ...facts(about)),
      make("h2", {}, label),
      ...hints.map((hint) => make("p", {}, hint)),
      make("p", {}, `${categoryName(order, seat)} · ${money(seat.price)}`),
      make("p", {}, order.buyer?.name ?? ""),
      make("p", {}, "Code ", make("b", { className: "short" }, ticket.short_code)),
      make("p", { className: "soft number" }, "Order ", order.id),
    ),
  );
}

/** @param {any} problem */
const fail = (problem) => {
  $("text").textContent = problem.message;
};

/** The invoice and its credit notes, where the organiser issues them. */
async function showInvoices() {
  const url = `/api/v1/orders/${id}/invoices`;
  const invoices = await ask("GET", url).catch(() => []);
  $("invoices").replaceChildren(...invoiceList(invoices, (number) => ask("GET", `${url}/${number}`), fail));
}

/** Says that the show was cancelled, and what becomes of the money. @param {any} order */
function cancelledWords(order) {
  const given = order.refunded ? `${money(order.refunded)} was given back.` : "";
  /** @type {Record<string, string>} */
  const outcomes = {
    confirmed: "Your money goes back the way you paid; you need not do anything.",
    refunding: "Your money is on its way back.",
    refunded: given,
    expired: "This order was not paid.",
    cancelled: "This order was not paid.",
  };
  const tickets = order.state === "refunded" ? "Its tickets are not valid any more. " : "";
  return `This show was cancelled. ${order.event_cancelled.reason} ${tickets}${outcomes[order.state] ?? ""}`.trim();
}

async function load() {
  const [order] = await Promise.all([ask("GET", `/api/v1/orders/${id}`), loadCurrencies()]);
  const about = await call("GET", `/api/v1/events/${order.event}`).catch(() => ({ name: order.event }));
  /** @type {Record<string, string>} */
  const words = {
    confirmed: `Confirmed: ${money(order.total)} paid${order.refunded ? `, ${money(order.refunded)} given back` : ""}. Show the codes at the door.`,
    confirming: "Your payment is being confirmed. Your seats are kept.",
    paying: "This order is not paid yet.",
    declined: "The card was declined. Pay again in the checkout.",
    expired: "The time to pay ran out and the seats went back.",
    cancelled: "This order was cancelled.",
    refunding: "Your money is on its way back.",
    refunded: "This order was refunded. The tickets are not valid any more.",
  };
  $("heading").textContent = about.name;
  document.title = `Order · ${about.name}`;
  showEvent(about);
  const exchanged = order.instead_of
    ? ` Your payment came when ${(order.instead_of_labels ?? order.instead_of).join("; ")} had gone back on sale and not all were free any more: you have other seats of the same category, for the same price.`
    : "";
  const cancelled = order.event_cancelled;
  $("text").textContent = cancelled
    ? cancelledWords(order)
    : (words[order.state] || "This order is being looked at by the organiser.") + exchanged;
  $("lines").replaceChildren(...priceLines(order.lines));
  $("total").textContent = money(order.total);
  $("price").hidden = false;
  $("pdf").hidden = !order.tickets?.length;
  if (order.tickets) {
    $("tickets").replaceChildren(
      ...(await Promise.all(order.tickets.map((/** @type {any} */ ticket) => draw(ticket, order, about)))),
    );
    $("keep").hidden = false;
    $("keep").textContent =
      "Keep the address of this page: it opens your tickets again, on any device. Whoever has it has your tickets.";
  }
  const isMoving = ["confirming", "refunding"].includes(order.state);
  if (isMoving || (cancelled && order.state === "confirmed")) setTimeout(show, 2000);
  await showInvoices();
}

$("print").addEventListener("click", () => window.print());
$("pdf").addEventListener("click", () => {
  savePdf(`tickets-${id}`, ask("GET", `/api/v1/orders/${id}/tickets.pdf`)).catch(fail);
});
const show = () =>
  load().catch((problem) => {
    $("text").textContent =
      problem.status === 401 || problem.status === 404
        ? "This order cannot be shown here. Open it in the browser in which you bought, or by the link you were given."
        : problem.message;
    if (problem.status === 0 || problem.status >= 500) setTimeout(show, 5000);
  });
show();
