// @ts-check
// Parts of the console about mail to buyers: what was sent about an order, and what cannot be sent.
import { call, locale, phrase } from "./api.js";
import { api, button, may, table } from "./console.js";
import { make } from "./make.js";

/** @param {string} kind */
const kindOf = (kind) => phrase(`console.mail.kind.${kind}`);

/** @param {...string} names of columns */
const headings = (...names) => names.map((name) => phrase(`console.mail.column.${name}`));

/** @param {any} mail */
const canRetry = (mail) => mail.state === "failed" || mail.state === "bounced";

/** What became of a mail, in words. @param {any} mail */
function fate(mail) {
  if (mail.state === "sent")
    return phrase("console.mail.sent", { time: new Date(mail.done_at).toLocaleString(locale) });
  if (mail.state === "bounced") return phrase("console.mail.bounced", { reason: mail.reason });
  if (mail.state === "failed") return phrase("console.mail.not_sent", { reason: mail.reason });
  return mail.reason ? phrase("console.mail.waits", { reason: mail.reason }) : phrase("console.mail.sending");
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
  button({}, phrase("console.send_again"), async () => {
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
    const rows = table(headings("mail", "from", "outcome"), mails, (mail) => [
      make("td", {}, kindOf(mail.kind)),
      make("td", {}, new Date(mail.created_at).toLocaleString(locale)),
      make(
        "td",
        {},
        fate(mail),
        ...(canRetry(mail) && may("operator") ? [retry(event, mail, async () => void (await load()))] : []),
      ),
    ]);
    list.replaceChildren(mails.length ? rows : make("p", { className: "soft" }, phrase("console.none")));
    return answer;
  };
  const first = await load();
  if (!first.is_set_up && !first.mails.length) return [];
  const again = button({}, phrase("console.mail.again"), async () => {
    await call("POST", url);
    await load();
    return phrase("console.mail.again_done");
  });
  return [card(phrase("console.mail.to_buyer"), list, ...(may("operator") && first.is_set_up ? [again] : []))];
}

/** The mails of a sale that cannot be sent; nothing where there are none. @param {string} event @returns {Promise<Node[]>} */
export async function failedMails(event) {
  const list = make("div");
  const load = async () => {
    const { mails } = await call("GET", `${api}/events/${event}/mails`);
    const rows = table([...headings("order", "mail", "given_up", "why"), ""], mails, (mail) => [
      make("td", {}, make("a", { href: `#/event/${event}/order/${mail.order}` }, mail.order.slice(0, 12))),
      make("td", {}, kindOf(mail.kind)),
      make("td", {}, new Date(mail.done_at).toLocaleString(locale)),
      make("td", { lang: "en" }, mail.reason),
      make("td", {}, ...(may("operator") ? [retry(event, mail, async () => void (await load()))] : [])),
    ]);
    list.replaceChildren(mails.length ? rows : make("p", { className: "soft" }, phrase("console.mail.all_again")));
    return mails;
  };
  const mails = await load();
  return mails.length ? [card(phrase("console.mail.failed"), list)] : [];
}
