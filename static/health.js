// @ts-check
// The console's page of the installation's health: warnings of the settings, signs of a proxy in front that does not
// fit them, how far the message broker is behind, and webhooks that were disabled.
import { call, count, locale, phrase } from "./api.js";
import { api, may, page, table } from "./console.js";
import { make } from "./make.js";

/** What the node that answers noticed. @returns {Promise<any[]>} */
export const proxySigns = () => call("GET", `${api}/proxy-signs`);

/** @param {number} seconds */
const age = (seconds) =>
  seconds < 120
    ? phrase("console.seconds", { count: seconds })
    : seconds < 7200
      ? phrase("console.minutes", { count: Math.floor(seconds / 60) })
      : phrase("console.hours", { count: Math.floor(seconds / 3600) });

/** How events come to the message broker. @param {any} relay */
function broker(relay) {
  const { broker, unsent, oldest_seconds: oldest, trouble, last_refusal: refusal } = relay;
  const waiting = unsent
    ? phrase("console.broker.waiting", { count: unsent, broker, age: age(oldest) })
    : phrase("console.broker.none", { broker });
  const lines = [make("p", { className: "soft" }, waiting)];
  if (trouble)
    lines.push(
      make(
        "p",
        { className: "note", lang: "en" },
        trouble.replace(/^./, (/** @type {string} */ letter) => letter.toUpperCase()),
        ".",
      ),
    );
  if (refusal)
    lines.push(
      make(
        "p",
        { className: "soft" },
        phrase("console.broker.refusal", { time: new Date(refusal.at).toLocaleString(locale), why: refusal.why }),
      ),
    );
  return make("section", { className: "card" }, make("h2", {}, phrase("console.broker")), ...lines);
}

/** Webhooks to which nothing is posted any more. @param {any[]} webhooks */
function disabled(webhooks) {
  const failed = webhooks.filter((webhook) => webhook.state === "failed");
  if (!failed.length) return [];
  const lines = failed.map((webhook) =>
    make(
      "p",
      { className: "note" },
      `${phrase("console.health.failed", { name: webhook.name, reason: webhook.reason })} `,
      make("a", { href: "#/messages" }, phrase("console.health.do")),
    ),
  );
  return [make("section", { className: "card" }, make("h2", {}, phrase("console.health.webhooks")), ...lines)];
}

/** Warnings of the settings at the start. @param {string[]} warnings */
function settings(warnings) {
  if (!warnings.length) return [];
  const lines = warnings.map((text) =>
    make("p", { className: "note", lang: "en" }, `${text}${/[.?]$/.test(text) ? "" : "."}`),
  );
  return [make("section", { className: "card" }, make("h2", {}, phrase("console.health.settings")), ...lines)];
}

/** @returns {Promise<() => void>} shows the page */
export async function health() {
  const [signs, { warnings }, relay, { webhooks }] = await Promise.all([
    proxySigns(),
    call("GET", `${api}/settings-warnings`),
    call("GET", `${api}/relay`).catch(() => null),
    may("operator") ? call("GET", `${api}/webhooks`) : { webhooks: [] },
  ]);
  const code = (/** @type {string | null} */ text, /** @type {string} */ other) =>
    make("td", { className: "word" }, text ? make("code", {}, text) : other);
  const time = (/** @type {string} */ text) => make("td", {}, new Date(text).toLocaleString(locale));
  const columns = ["sign", "setting", "seen", "requests", "first", "last"];
  const headings = columns.map((name) => phrase(`console.health.column.${name}`));
  const list = table(headings, signs, (sign) => [
    make(
      "td",
      { lang: "en" },
      sign.text.replace(/^./, (/** @type {string} */ letter) => letter.toUpperCase()),
    ),
    code(sign.setting, phrase("console.health.of_proxy")),
    code(sign.seen, "–"),
    make("td", { className: "num" }, count(sign.requests)),
    time(sign.first_at),
    time(sign.last_at),
  ]);
  return () =>
    page(
      make("h1", {}, phrase("console.health")),
      ...settings(warnings),
      make(
        "section",
        { className: "card scroll", tabIndex: 0, "aria-label": phrase("console.health.proxy") },
        make("h2", {}, phrase("console.health.proxy")),
        make("p", { className: "soft" }, phrase(signs.length ? "console.health.signs" : "console.health.no_signs")),
        ...(signs.length ? [list] : []),
      ),
      ...(relay?.broker ? [broker(relay)] : []),
      ...disabled(webhooks),
    );
}

/** A note on the list of sales, where there is something to be seen. */
export async function healthNote() {
  const signs = await proxySigns().catch(() => []);
  if (!signs.length) return [];
  const link = make("a", { href: "#/health" }, phrase("console.health.change"));
  return [make("p", { className: "note" }, `${phrase("console.health.note")} `, link)];
}
