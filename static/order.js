// @ts-check
// An order with its tickets: with the session, or by the key of the signed link.
import { $, call } from "./api.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

const id = document.body.dataset.order || "";
const bearer = new URLSearchParams(location.search).get("key") || undefined;

/** @param {any} ticket @param {any} order @param {string} name */
async function draw(ticket, order, name) {
  const svg = await call("POST", "/api/v1/qr", { body: { code: ticket.code } });
  const seat = order.seats.find((/** @type {any} */ s) => s.id === ticket.seat);
  return make(
    "section",
    { className: "card ticket", "aria-label": `Ticket for ${ticket.seat}` },
    make("img", { alt: `QR code of the ticket for ${ticket.seat}`, src: `data:image/svg+xml;base64,${btoa(svg)}` }),
    make(
      "div",
      {},
      make("p", { className: "soft" }, name),
      make("h2", {}, ticket.seat),
      make("p", {}, `${seat.category} · ${money(seat.price)}`),
      make("p", {}, order.buyer.name),
      make("p", { className: "code" }, ticket.code),
    ),
  );
}

async function load() {
  // The session first: `Authorization` belongs to the site where it uses that itself.
  const asked = call("GET", `/api/v1/orders/${id}`).catch((problem) => {
    if (bearer && [401, 404].includes(problem.status)) return call("GET", `/api/v1/orders/${id}`, { bearer });
    throw problem;
  });
  const [order] = await Promise.all([asked, loadCurrencies()]);
  const about = await call("GET", `/api/v1/events/${order.event}`).catch(() => ({ name: order.event }));
  /** @type {Record<string, string>} */
  const words = {
    confirmed: `Confirmed: ${money(order.total)} paid. Show the codes at the door.`,
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
  $("text").textContent = words[order.state] || "This order is being looked at by the organiser.";
  if (order.tickets) {
    $("tickets").replaceChildren(
      ...(await Promise.all(order.tickets.map((/** @type {any} */ ticket) => draw(ticket, order, about.name)))),
    );
    $("keep").hidden = false;
    $("keep").textContent =
      "Keep the address of this page: it opens your tickets again, on any device. Whoever has it has your tickets.";
  }
  if (["confirming", "refunding"].includes(order.state)) setTimeout(show, 2000);
}

$("print").addEventListener("click", () => window.print());
const show = () =>
  load().catch((problem) => {
    $("text").textContent =
      problem.status === 401 || problem.status === 404
        ? "This order cannot be shown here. Open it in the browser in which you bought, or by the link you were given."
        : problem.message;
    if (problem.status === 0 || problem.status >= 500) setTimeout(show, 5000);
  });
show();
