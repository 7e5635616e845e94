// @ts-check
// The console's page of messages: the systems to which events are posted (webhooks), and what was posted to each.
import { call, locale } from "./api.js";
import { api, button, field, form, may, page, table } from "./console.js";
import { make } from "./make.js";

const url = `${api}/webhooks`;
const time = (/** @type {string} */ text) => new Date(text).toLocaleString(locale);

/** @type {Record<string, string>} */
const states = { enabled: "on", disabled: "off", failed: "off: deliveries fail" };

/** The words of a list, separated by blanks or commas. @param {string} text */
const words = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Which events it gets, in words. @param {any} webhook */
function filters(webhook) {
  const types = webhook.types.length ? webhook.types.join(", ") : "All types of events";
  const sales = webhook.events.length ? `of ${webhook.events.join(", ")}` : "of all sales";
  return `${types} ${sales}${webhook.is_ordered ? ", in order" : ""}.`;
}

/** What is wrong with it, and what to do. @param {any} webhook */
function trouble(webhook) {
  const note = (/** @type {string} */ text) => [make("p", { className: "note" }, text)];
  if (webhook.state === "failed")
    return note(
      `Nothing is posted any more: ${webhook.reason}. Once the receiver is mended, turn it on, and send again what it missed.`,
    );
  if (webhook.failing_since)
    return note(`Every delivery has failed since ${time(webhook.failing_since)}. Each is tried for three days.`);
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
  field("Name", { name: "name", required: true, maxLength: 100, value: webhook?.name ?? "" }),
  field("Address (https)", { name: "url", type: "url", required: true, maxLength: 1000, value: webhook?.url ?? "" }),
  field("Types, such as order.confirmed or ticket.* (empty: all)", {
    name: "types",
    value: webhook?.types.join(" ") ?? "",
    autocapitalize: "none",
  }),
  field("Sales, by their addresses (empty: all)", {
    name: "events",
    value: webhook?.events.join(" ") ?? "",
    autocapitalize: "none",
  }),
  make(
    "label",
    { className: "check" },
    make("input", { name: "ordered", type: "checkbox", checked: webhook?.is_ordered ?? false }),
    " In order: an event waits until the earlier ones of its order arrived.",
  ),
];

/** Shows a secret, which the server does not tell again. @param {string} name @param {string} secret */
const secretCard = (name, secret) =>
  make(
    "section",
    { className: "card", role: "status" },
    make("h2", {}, `The secret of ${name}`),
    make("p", {}, make("code", {}, secret)),
    make(
      "p",
      { className: "soft" },
      "It is shown this once. Give it to the receiver, which checks signatures with it.",
    ),
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
    make("h1", {}, "Messages"),
    make("p", { className: "soft" }, "Events of your sales are posted to these systems (webhooks), each one signed."),
    make(
      "div",
      { className: "stack" },
      ...notes,
      ...webhooks.map((webhook) => webhookCard(webhook, again)),
      ...(webhooks.length ? [] : [make("p", { className: "soft" }, "None yet.")]),
      ...(may("admin") ? [newCard(again)] : []),
    ),
  );
}

/** @param {any} webhook @param {(...notes: Node[]) => Promise<void>} then */
function webhookCard(webhook, then) {
  const own = `${url}/${webhook.id}`;
  const isOn = webhook.state === "enabled";
  const test = button({}, "Send a test", async () => {
    await call("POST", `${own}/test`);
    location.hash = `#/messages/${webhook.id}`;
  });
  const admins = [
    button({}, isOn ? "Turn off" : "Turn on", async () => {
      await call("PATCH", own, { body: { is_enabled: !isOn } });
      await then();
    }),
    button({}, "New secret", async () => {
      if (!confirm(`Make a new secret for ${webhook.name}? The one of now signs as well for a day.`)) return;
      const { secret } = await call("POST", `${own}/rotate`);
      await then(secretCard(webhook.name, secret));
    }),
    button({}, "Remove", async () => {
      if (!confirm(`Remove ${webhook.name}? What waits for it is not posted any more.`)) return;
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
    make("button", {}, "Save"),
  );
  return make(
    "section",
    { className: "card" },
    make(
      "div",
      { className: "heading" },
      make("h2", {}, make("a", { href: `#/messages/${webhook.id}` }, webhook.name)),
      make("span", { className: "pill" }, states[webhook.state]),
    ),
    make("p", {}, make("code", {}, webhook.url)),
    make("p", { className: "soft" }, filters(webhook)),
    ...trouble(webhook),
    ...(webhook.old_secret_until
      ? [make("p", { className: "soft" }, `The secret before signs as well until ${time(webhook.old_secret_until)}.`)]
      : []),
    make("div", { className: "line" }, ...(isOn ? [test] : []), ...(may("admin") ? admins : [])),
    ...(may("admin") ? [make("details", {}, make("summary", {}, "Change"), change)] : []),
  );
}

/** @param {(...notes: Node[]) => Promise<void>} then */
const newCard = (then) =>
  make(
    "section",
    { className: "card" },
    make("h2", {}, "New webhook"),
    form(
      {},
      async (f) => {
        const { webhook, secret } = await call("POST", url, { body: settings(f.elements) });
        await then(secretCard(webhook.name, secret));
      },
      ...fields(),
      make("button", { className: "primary" }, "Add it"),
    ),
  );

/** What became of a delivery, in words. @param {any} delivery */
function outcome(delivery) {
  const tried = delivery.attempts === 1 ? "1 attempt" : `${delivery.attempts} attempts`;
  if (delivery.state === "delivered") return `Delivered ${time(delivery.done_at)}, ${tried}`;
  if (delivery.state === "failed") return `Given up ${time(delivery.done_at)}, ${tried}`;
  return delivery.attempts ? `Waits until ${time(delivery.next_at)}, ${tried}` : "Waits";
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
  const more = button({}, "Older ones", async () =>
    take(await call("GET", `${own}/deliveries?after=${encodeURIComponent(next)}`), false),
  );
  const again = (/** @type {any} */ delivery) =>
    button({}, "Send again", async () => {
      await call("POST", `${own}/deliveries/${delivery.id}/resend`);
      await load();
    });
  const rows = () =>
    table(["Event", "Sale", "Happened", "Outcome", "Answer"], deliveries, (delivery) => [
      make("td", {}, delivery.type),
      make("td", {}, delivery.event),
      make("td", {}, time(delivery.created_at)),
      make(
        "td",
        {},
        make("span", {}, outcome(delivery)),
        ...(delivery.state !== "waiting" && webhook.state === "enabled" ? [again(delivery)] : []),
      ),
      make("td", {}, delivery.status ? `${delivery.status} ` : "", delivery.answer),
    ]);
  const draw = () => {
    list.replaceChildren(deliveries.length ? rows() : make("p", { className: "soft" }, "None yet."));
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
      make("a", { href: "#/messages" }, "All webhooks"),
    ),
    ...trouble(webhook),
    make(
      "section",
      { className: "card scroll", tabIndex: 0, role: "region", "aria-label": "Deliveries" },
      make("h2", {}, "Deliveries"),
      list,
      more,
      button({}, "Look again", load),
    ),
  );
}
