// @ts-check
// Parts of the console about mail to buyers: what was sent about an order, and what cannot be sent.
import { call, locale } from "./api.js";
import { api, button, may, table } from "./console.js";
import { make } from "./make.js";

/** @type {Record<string, string>} */
const kinds = { confirmed: "Tickets", refunded: "Refund", cancelled: "Cancellation", changed: "Change of the event" };

/** What became of a mail, in words. @param {any} mail */
function fate(mail) {
  if (mail.state === "sent") return `Sent ${new Date(mail.done_at).toLocaleString(locale)}`;
  if (mail.state === "failed") return `Not sent: ${mail.reason}`;
  return mail.reason ? `Waits: ${mail.reason}` : "Being sent";
}

/** @param {string} text @param {Node[]} inside */
const card = (text, ...inside) =>
  make(
    "section",
    { className: "card scroll", tabIndex: 0, role: "region", "aria-label": text },
    make("h2", {}, text),
    ...inside,
  );

/** @param {string} event @param {any} mail @param {() => Promise<void>} then */
const retry = (event, mail, then) =>
  button({}, "Send again", async () => {
    await call("POST", `${api}/events/${event}/mails/${mail.id}/retry`);
    await then();
  });

/** The mails about an order, and a button that sends its tickets again. @param {string} event @param {string} order @returns {Promise<Node[]>} */
export async function orderMails(event, order) {
  const url = `${api}/events/${event}/orders/${order}/mails`;
  const list = make("div");
  const load = async () => {
    const answer = await call("GET", url);
    const { mails } = answer;
    const rows = table(["Mail", "For", "Outcome"], mails, (mail) => [
      make("td", {}, kinds[mail.kind]),
      make("td", {}, new Date(mail.created_at).toLocaleString(locale)),
      make(
        "td",
        {},
        fate(mail),
        ...(mail.state === "failed" && may("operator") ? [retry(event, mail, async () => void (await load()))] : []),
      ),
    ]);
    list.replaceChildren(mails.length ? rows : make("p", { className: "soft" }, "None."));
    return answer;
  };
  const first = await load();
  if (!first.is_set_up && !first.mails.length) return [];
  const again = button({}, "Send the tickets again", async () => {
    await call("POST", url);
    await load();
    return "They are being sent.";
  });
  return [card("Mail to the buyer", list, ...(may("operator") && first.is_set_up ? [again] : []))];
}

/** The mails of a sale that cannot be sent; nothing where there are none. @param {string} event @returns {Promise<Node[]>} */
export async function failedMails(event) {
  const list = make("div");
  const load = async () => {
    const { mails } = await call("GET", `${api}/events/${event}/mails`);
    const rows = table(["Order", "Mail", "Given up", "Why", ""], mails, (mail) => [
      make("td", {}, make("a", { href: `#/event/${event}/order/${mail.order}` }, mail.order.slice(0, 12))),
      make("td", {}, kinds[mail.kind]),
      make("td", {}, new Date(mail.done_at).toLocaleString(locale)),
      make("td", {}, mail.reason),
      make("td", {}, ...(may("operator") ? [retry(event, mail, async () => void (await load()))] : [])),
    ]);
    list.replaceChildren(mails.length ? rows : make("p", { className: "soft" }, "All of them are being sent again."));
    return mails;
  };
  const mails = await load();
  return mails.length ? [card("Mails that could not be sent", list)] : [];
}
