// @ts-check
// The console's page of messages: the systems to which events are posted (webhooks), and what was posted to each.
import { call, locale, phrase } from "./api.js";
import { api, button, field, form, may, page, table } from "./console.js";
import { make } from "./make.js";

const url = `${api}/webhooks`;
const time = (/** @type {string} */ text) => new Date(text).toLocaleString(locale);

/** The words of a list, separated by blanks or commas. @param {string} text */
const words = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Which events it gets, in words. @param {any} webhook */
function filters(webhook) {
  const types = webhook.types.join(", ") || phrase("console.webhook.all_types");
  const sales = webhook.events.join(", ") || phrase("console.webhook.all_sales");
  return phrase(webhook.is_ordered ? "console.webhook.gets_ordered" : "console.webhook.gets", { types, sales });
}

/** What is wrong with it, and what to do. @param {any} webhook */
function trouble(webhook) {
  const note = (/** @type {string} */ text) => [make("p", { className: "note" }, text)];
  if (webhook.state === "failed") return note(phrase("console.webhook.failed", { reason: webhook.reason }));
  if (webhook.failing_since) return note(phrase("console.webhook.failing", { time: time(webhook.failing_since) }));
  return [];
}

/** @param {any} fields of a form */
const settings = (fields) => ({
  name: fields.name.value.trim(),
  url: fields.url.value.trim(),
  types: words(fields.types.value),
  events: words(fields.events.value),
  is_ordered: fields.ordered.checked,
});

/** @param {any} [webhook] */
const fields = (webhook) => [
  field(phrase("console.name"), { name: "name", required: true, maxLength: 100, value: webhook?.name ?? "" }),
  field(phrase("console.webhook.url"), {
    name: "url",
    type: "url",
    required: true,
    maxLength: 1000,
    value: webhook?.url ?? "",
  }),
  field(phrase("console.webhook.types"), {
    name: "types",
    value: webhook?.types.join(" ") ?? "",
    autocapitalize: "none",
  }),
  field(phrase("console.webhook.sales"), {
    name: "events",
    value: webhook?.events.join(" ") ?? "",
    autocapitalize: "none",
  }),
  make(
    "label",
    { className: "check" },
    make("input", { name: "ordered", type: "checkbox", checked: webhook?.is_ordered ?? false }),
    ` ${phrase("console.webhook.ordered")}`,
  ),
];

/** Shows a secret, which the server does not tell again. @param {string} name @param {string} secret */
const secretCard = (name, secret) =>
  make(
    "section",
    { className: "card", role: "status" },
    make("h2", {}, phrase("console.webhook.secret", { name })),
    make("p", {}, make("code", {}, secret)),
    make("p", { className: "soft" }, phrase("console.webhook.secret_text")),
  );

/** @returns {Promise<() => void>} shows the page */
export async function messagesPage() {
  const { webhooks } = await call("GET", url);
  return () => show(webhooks, []);
}

/** @param {any[]} webhooks @param {Node[]} notes */
function show(webhooks, notes) {
  const again = async (/** @type {Node[]} */ ...notes) => show((await call("GET", url)).webhooks, notes);
  page(
    make("h1", {}, phrase("console.messages")),
    make("p", { className: "soft" }, phrase("console.webhooks.text")),
    make(
      "div",
      { className: "stack" },
      ...notes,
      ...webhooks.map((webhook) => webhookCard(webhook, again)),
      ...(webhooks.length ? [] : [make("p", { className: "soft" }, phrase("console.none_yet"))]),
      ...(may("admin") ? [newCard(again)] : []),
    ),
  );
}

/** @param {any} webhook @param {(...notes: Node[]) => Promise<void>} then */
function webhookCard(webhook, then) {
  const own = `${url}/${webhook.id}`;
  const isOn = webhook.state === "enabled";
  const test = button({}, phrase("console.webhook.test"), async () => {
    await call("POST", `${own}/test`);
    location.hash = `#/messages/${webhook.id}`;
  });
  const admins = [
    button({}, phrase(isOn ? "console.webhook.turn_off" : "console.webhook.turn_on"), async () => {
      await call("PATCH", own, { body: { is_enabled: !isOn } });
      await then();
    }),
    button({}, phrase("console.webhook.new_secret"), async () => {
      if (!confirm(phrase("console.webhook.new_secret.sure", { name: webhook.name }))) return;
      const { secret } = await call("POST", `${own}/rotate`);
      await then(secretCard(webhook.name, secret));
    }),
    button({}, phrase("console.remove"), async () => {
      if (!confirm(phrase("console.webhook.remove.sure", { name: webhook.name }))) return;
      await call("DELETE", own);
      await then();
    }),
  ];
  const change = form(
    {},
    async (f) => {
      await call("PATCH", own, { body: settings(f.elements) });
      await then();
    },
    ...fields(webhook),
    make("button", {}, phrase("console.save")),
  );
  return make(
    "section",
    { className: "card" },
    make(
      "div",
      { className: "heading" },
      make("h2", {}, make("a", { href: `#/messages/${webhook.id}` }, webhook.name)),
      make("span", { className: "pill" }, phrase(`console.webhook.state.${webhook.state}`)),
    ),
    make("p", {}, make("code", {}, webhook.url)),
    make("p", { className: "soft" }, filters(webhook)),
    ...trouble(webhook),
    ...(webhook.old_secret_until
      ? [
          make(
            "p",
            { className: "soft" },
            phrase("console.webhook.old_secret", { time: time(webhook.old_secret_until) }),
          ),
        ]
      : []),
    make("div", { className: "line" }, ...(isOn ? [test] : []), ...(may("admin") ? admins : [])),
    ...(may("admin") ? [make("details", {}, make("summary", {}, phrase("console.webhook.change")), change)] : []),
  );
}

/** @param {(...notes: Node[]) => Promise<void>} then */
const newCard = (then) =>
  make(
    "section",
    { className: "card" },
    make("h2", {}, phrase("console.webhook.new")),
    form(
      {},
      async (f) => {
        const { webhook, secret } = await call("POST", url, { body: settings(f.elements) });
        await then(secretCard(webhook.name, secret));
      },
      ...fields(),
      make("button", { className: "primary" }, phrase("console.webhook.add")),
    ),
  );

/** What became of a delivery, in words. @param {any} delivery */
function outcome(delivery) {
  const { state, attempts, done_at, next_at } = delivery;
  if (state === "waiting" && !attempts) return phrase("console.delivery.new");
  return phrase(`console.delivery.${state}`, { count: attempts, time: time(state === "waiting" ? next_at : done_at) });
}

/** @param {string} id @returns {Promise<() => void>} shows the page */
export async function deliveriesPage(id) {
  const own = `${url}/${encodeURIComponent(id)}`;
  const [{ webhooks }, first] = await Promise.all([call("GET", url), call("GET", `${own}/deliveries`)]);
  const webhook = webhooks.find((/** @type {any} */ webhook) => webhook.id === id);
  return () => showDeliveries(own, webhook, first);
}

/** @param {string} own @param {any} webhook @param {any} first */
function showDeliveries(own, webhook, first) {
  let { deliveries, next } = first;
  const list = make("div");
  const load = async () => take(await call("GET", `${own}/deliveries`), true);
  const more = button({}, phrase("console.delivery.older"), async () =>
    take(await call("GET", `${own}/deliveries?after=${encodeURIComponent(next)}`), false),
  );
  const again = (/** @type {any} */ delivery) =>
    button({}, phrase("console.send_again"), async () => {
      await call("POST", `${own}/deliveries/${delivery.id}/resend`);
      await load();
    });
  const columns = ["event", "sale", "happened", "outcome", "answer"];
  const headings = columns.map((name) => phrase(`console.delivery.column.${name}`));
  const rows = () =>
    table(headings, deliveries, (delivery) => [
      make("td", {}, delivery.type),
      make("td", {}, delivery.event),
      make("td", {}, time(delivery.created_at)),
      make(
        "td",
        {},
        make("span", {}, outcome(delivery)),
        ...(delivery.state !== "waiting" && webhook.state === "enabled" ? [again(delivery)] : []),
      ),
      make("td", { lang: "en" }, delivery.status ? `${delivery.status} ` : "", delivery.answer),
    ]);
  const draw = () => {
    list.replaceChildren(deliveries.length ? rows() : make("p", { className: "soft" }, phrase("console.none_yet")));
    more.hidden = !next;
  };
  const take = (/** @type {any} */ answer, /** @type {boolean} */ isNew) => {
    deliveries = isNew ? answer.deliveries : [...deliveries, ...answer.deliveries];
    next = answer.next;
    draw();
  };
  draw();
  page(
    make(
      "div",
      { className: "heading above" },
      make("h1", {}, webhook.name),
      make("a", { href: "#/messages" }, phrase("console.webhooks.all")),
    ),
    ...trouble(webhook),
    make(
      "section",
      { className: "card scroll", tabIndex: 0, role: "region", "aria-label": phrase("console.deliveries") },
      make("h2", {}, phrase("console.deliveries")),
      list,
      more,
      button({}, phrase("console.delivery.look"), load),
    ),
  );
}
