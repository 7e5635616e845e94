// @ts-check
// Parts of the console about mail to buyers: what was sent about an order, what cannot be sent, and how letters look.
import { call, locale, phrase, root } from "./api.js";
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

const letters = ["confirmed", "refunded", "cancelled", "changed", "orders", "soon", "turn"];

/** The letters of a sale as they will be sent, from a made-up order; the first is asked for once it is opened. @param {string} event */
function previews(event) {
  const languages = (document.body.dataset.languages ?? "").split(",").map((named) => named.split(" "));
  const choice = (
    /** @type {string} */ label,
    /** @type {[string, string][]} */ options,
    /** @type {string} */ chosen,
  ) => {
    const made = options.map(([value, name]) => make("option", { value, selected: value === chosen }, name));
    const select = /** @type {HTMLSelectElement} */ (make("select", {}, ...made));
    return { select, label: make("label", {}, phrase(`console.letters.${label}`), select) };
  };
  const own = document.documentElement.lang;
  const letter = choice(
    "letter",
    letters.map((kind) => [kind, kindOf(kind)]),
    "confirmed",
  );
  const language = choice(
    "language",
    languages.map(([code, ...name]) => [code, name.join(" ")]),
    own,
  );
  const format = choice(
    "format",
    ["html", "text"].map((kind) => [kind, phrase(`console.letters.${kind}`)]),
    "html",
  );
  const frame = make("iframe", { className: "letter", title: phrase("console.letters") });
  // Without any permission: no script of a letter runs.
  frame.setAttribute("sandbox", "");
  const show = () => {
    const wanted = { letter: letter.select.value, language: language.select.value, format: format.select.value };
    frame.setAttribute("src", `${root}${api}/events/${event}/mails/preview?${new URLSearchParams(wanted)}`);
  };
  const choices = make("div", { className: "line" }, letter.label, language.label, format.label);
  choices.addEventListener("change", show);
  const inside = [make("p", { className: "soft" }, phrase("console.letters.made_up")), choices, frame];
  const part = make("details", {}, make("summary", {}, phrase("console.letters")), ...inside);
  part.addEventListener("toggle", show, { once: true });
  return make("section", { className: "card" }, part);
}

/** The mails of a sale that cannot be sent, where there are some, and its letters, where mail is sent. @param {string} event @returns {Promise<Node[]>} */
export async function saleMails(event) {
  const list = make("div");
  const load = async () => {
    const answer = await call("GET", `${api}/events/${event}/mails`);
    const { mails } = answer;
    const rows = table([...headings("order", "mail", "given_up", "why"), ""], mails, (mail) => [
      make("td", {}, make("a", { href: `#/event/${event}/order/${mail.order}` }, mail.order.slice(0, 12))),
      make("td", {}, kindOf(mail.kind)),
      make("td", {}, new Date(mail.done_at).toLocaleString(locale)),
      make("td", { lang: "en" }, mail.reason),
      make("td", {}, ...(may("operator") ? [retry(event, mail, async () => void (await load()))] : [])),
    ]);
    list.replaceChildren(mails.length ? rows : make("p", { className: "soft" }, phrase("console.mail.all_again")));
    return answer;
  };
  const { mails, is_set_up } = await load();
  return [
    ...(mails.length ? [card(phrase("console.mail.failed"), list)] : []),
    ...(is_set_up ? [previews(event)] : []),
  ];
}
