// @ts-check
// An order with its tickets: with the session, or by the key of the signed link.
import { $, call, phrase, Problem } from "./api.js";
import { facts, ownLanguage, showEvent } from "./event.js";
import { explain } from "./explain.js";
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
  const hints = [ticket.door && phrase("order.door", { door: ticket.door }), ticket.notes].filter(Boolean);
  return make(
    "section",
    { className: "card ticket", "aria-label": phrase("price.ticket_for", { place: label }) },
    make("img", { alt: phrase("order.qr", { place: label }), src: `data:image/svg+xml;base64,${btoa(svg)}` }),
    make(
      "div",
      {},
      make("p", { className: "name", ...ownLanguage(about) }, about.name),
      make("div", { className: "facts" }, ...facts(about)),
      make("h2", {}, label),
      ...hints.map((hint) => make("p", {}, hint)),
      make("p", {}, `${categoryName(order, seat)} · ${money(seat.price)}`),
      make("p", {}, order.buyer?.name ?? ""),
      make("p", {}, `${phrase("order.code")} `, make("b", { className: "short" }, ticket.short_code)),
      make("p", { className: "soft number" }, phrase("order.number", { order: order.id })),
    ),
  );
}

/** @param {any} problem */
const fail = (problem) => {
  $("text").textContent = explain(problem);
};

/** The invoice and its credit notes, where the organiser issues them. */
async function findInvoices() {
  const url = `/api/v1/orders/${id}/invoices`;
  const invoices = await ask("GET", url).catch(() => []);
  return invoiceList(invoices, (number) => ask("GET", `${url}/${number}`), fail);
}

/** Says that the show was cancelled, and what becomes of the money. @param {any} order */
function cancelledWords(order) {
  const amount = order.refunded && money(order.refunded);
  const hasOutcome = order.state !== "refunded" || amount;
  return [
    phrase("event.cancelled", { reason: order.event_cancelled.reason }),
    order.state === "refunded" ? phrase("order.cancelled.invalid") : "",
    hasOutcome ? phrase(`order.cancelled.${order.state}`, { amount }) : "",
  ]
    .filter(Boolean)
    .join(" ");
}

async function load() {
  const [order] = await Promise.all([ask("GET", `/api/v1/orders/${id}`), loadCurrencies()]);
  const about = await call("GET", `/api/v1/events/${order.event}`).catch(() => ({ name: order.event }));
  // All is there before any of it is shown, so that nothing moves that is being read.
  const [tickets, invoices] = await Promise.all([
    Promise.all((order.tickets ?? []).map((/** @type {any} */ ticket) => draw(ticket, order, about))),
    findInvoices(),
  ]);
  const isPartlyRefunded = order.state === "confirmed" && order.refunded;
  const amounts = { paid: money(order.total), returned: order.refunded ? money(order.refunded) : "" };
  const state = phrase(`order.state.${isPartlyRefunded ? "partly_refunded" : order.state}`, amounts);
  $("heading").textContent = about.name;
  Object.assign($("heading"), ownLanguage(about));
  document.title = `${phrase("order.title")} · ${about.name}`;
  showEvent(about);
  const exchanged = order.instead_of
    ? ` ${phrase("order.exchanged", { places: (order.instead_of_labels ?? order.instead_of).join("; ") })}`
    : "";
  const cancelled = order.event_cancelled;
  $("text").textContent = cancelled ? cancelledWords(order) : (state || phrase("order.looked_at")) + exchanged;
  $("lines").replaceChildren(...priceLines(order.lines));
  $("total").textContent = money(order.total);
  $("price").hidden = false;
  $("invoices").replaceChildren(...invoices);
  /** @type {HTMLButtonElement} */ ($("pdf")).disabled = !tickets.length;
  $("calendar").hidden = !order.tickets || Boolean(cancelled) || !(Date.parse(about.details?.starts_at) > Date.now());
  /** @type {HTMLAnchorElement} */ ($("calendar").firstElementChild).href = `/e/${order.event}/calendar.ics`;
  if (order.tickets) {
    $("tickets").replaceChildren(...tickets);
    $("keep").hidden = false;
    $("keep").textContent = phrase("order.keep");
  }
  const isMoving = ["confirming", "refunding"].includes(order.state);
  if (isMoving || (cancelled && order.state === "confirmed")) setTimeout(show, 2000);
}

$("print").addEventListener("click", () => window.print());
$("pdf").addEventListener("click", () => {
  savePdf(`${phrase("order.file")}-${id}`, ask("GET", `/api/v1/orders/${id}/tickets.pdf`)).catch(fail);
});
const show = () =>
  load().catch((problem) => {
    $("text").textContent =
      problem.status === 401 || problem.status === 404 ? phrase("order.not_here") : explain(problem);
    if (problem.status === 0 || problem.status >= 500) setTimeout(show, 5000);
  });
show();
