// @ts-check
// The console's page of the installation's health: warnings of the settings, signs of a proxy in front that does not
// fit them, how far the message broker is behind, and webhooks that were disabled.
import { call, locale } from "./api.js";
import { api, may, page, table } from "./console.js";
import { make } from "./make.js";

/** What the node that answers noticed. @returns {Promise<any[]>} */
export const proxySigns = () => call("GET", `${api}/proxy-signs`);

/** @param {number} seconds */
const age = (seconds) =>
  seconds < 120
    ? `${seconds} seconds`
    : seconds < 7200
      ? `${Math.floor(seconds / 60)} minutes`
      : `${Math.floor(seconds / 3600)} hours`;

/** How events come to the message broker. @param {any} relay */
function broker(relay) {
  const { broker, unsent, oldest_seconds: oldest, trouble, last_refusal: refusal } = relay;
  const waiting = unsent
    ? `${unsent.toLocaleString(locale)} ${unsent === 1 ? "event waits" : "events wait"}`
    : "No event waits";
  const lines = [
    make("p", { className: "soft" }, `${waiting} for ${broker}${unsent ? `, the oldest for ${age(oldest)}` : ""}.`),
  ];
  if (trouble)
    lines.push(
      make(
        "p",
        { className: "note" },
        trouble.replace(/^./, (/** @type {string} */ letter) => letter.toUpperCase()),
        ".",
      ),
    );
  if (refusal)
    lines.push(
      make("p", { className: "soft" }, `Last refusal, ${new Date(refusal.at).toLocaleString(locale)}: ${refusal.why}.`),
    );
  return make("section", { className: "card" }, make("h2", {}, "The message broker"), ...lines);
}

/** Webhooks to which nothing is posted any more. @param {any[]} webhooks */
function disabled(webhooks) {
  const failed = webhooks.filter((webhook) => webhook.state === "failed");
  if (!failed.length) return [];
  const lines = failed.map((webhook) =>
    make(
      "p",
      { className: "note" },
      `Nothing is posted to ${webhook.name} any more: ${webhook.reason}. `,
      make("a", { href: "#/messages" }, "See what to do."),
    ),
  );
  return [make("section", { className: "card" }, make("h2", {}, "Webhooks"), ...lines)];
}

/** Warnings of the settings at the start. @param {string[]} warnings */
function settings(warnings) {
  if (!warnings.length) return [];
  const lines = warnings.map((text) => make("p", { className: "note" }, `${text}${/[.?]$/.test(text) ? "" : "."}`));
  return [make("section", { className: "card" }, make("h2", {}, "The settings"), ...lines)];
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
  const list = table(["Noticed, and what to do", "Setting", "Seen", "Requests", "First", "Last"], signs, (sign) => [
    make(
      "td",
      {},
      sign.text.replace(/^./, (/** @type {string} */ letter) => letter.toUpperCase()),
    ),
    code(sign.setting, "the proxy's"),
    code(sign.seen, "–"),
    make("td", { className: "num" }, sign.requests.toLocaleString(locale)),
    time(sign.first_at),
    time(sign.last_at),
  ]);
  return () =>
    page(
      make("h1", {}, "Health"),
      ...settings(warnings),
      make(
        "section",
        { className: "card scroll", tabIndex: 0, "aria-label": "The proxy in front" },
        make("h2", {}, "The proxy in front"),
        make(
          "p",
          { className: "soft" },
          signs.length
            ? "The node that answered noticed this since it started. A setting holds from the next start on."
            : "The node that answered noticed nothing that does not fit the settings.",
        ),
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
  const link = make("a", { href: "#/health" }, "See what to change.");
  return [make("p", { className: "note" }, "The proxy in front does not fit the settings. ", link)];
}
