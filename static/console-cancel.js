// @ts-check
// The console's page that cancels a show, and tells how far its refunds have come.
import { call, count, locale, phrase } from "./api.js";
import { api, atEnd, field, form, may, page, say, table } from "./console.js";
import { reasonOf } from "./console-order.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

const AGAIN_MS = 2000;

/** Sums in all currencies. @param {any[]} sums @param {"refunded" | "charged_back" | "outstanding"} which */
const sum = (sums, which) =>
  sums
    .map((one) => one[which])
    .filter((one) => one.amount)
    .map(money)
    .join(", ") || phrase("console.cancel.no_money");

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function cancelPage(event) {
  const url = `${api}/events/${event}/cancel`;
  const [settings, progress] = await Promise.all([
    call("GET", `${api}/events/${event}`),
    call("GET", url).catch((problem) => (problem.status === 404 ? null : Promise.reject(problem))),
    loadCurrencies(),
  ]);
  return () => show(event, url, settings, progress);
}

/** @param {string} event @param {string} url @param {any} settings @param {any} first null where nothing was ever sold */
function show(event, url, settings, first) {
  const inside = make("div", { className: "stack" });
  let shown = "";
  const draw = (/** @type {any} */ progress) => {
    shown = JSON.stringify(progress);
    const isCancelled = Boolean(progress?.cancelled);
    inside.replaceChildren(
      ...(isCancelled ? progressParts(event, progress) : [cancelForm(url, settings, progress, draw)]),
    );
    if (isCancelled) say(phrase("console.cancel.progress", { refunded: progress.refunded, count: progress.orders }));
    if (isCancelled && !progress.done) setTimeout(again, AGAIN_MS);
  };
  let isShown = true;
  const again = async () => {
    if (!isShown) return;
    const progress = await call("GET", url).catch(() => null);
    if (!isShown) return;
    if (progress && JSON.stringify(progress) !== shown) draw(progress);
    else setTimeout(again, AGAIN_MS);
  };
  page(
    make(
      "div",
      { className: "heading above" },
      make("h1", {}, phrase("console.cancel")),
      make("a", { href: `#/event/${event}` }, phrase("console.back")),
    ),
    inside,
  );
  atEnd(() => (isShown = false));
  draw(first);
}

/** Says what will happen. @param {any} progress @returns {string[]} */
function consequences(progress) {
  const orders = progress?.waiting ?? 0;
  return [
    phrase("console.cancel.line"),
    phrase("console.cancel.holds"),
    orders
      ? phrase("console.cancel.orders", { count: orders, amount: sum(progress.money, "outstanding") })
      : phrase("console.cancel.no_order"),
    phrase("console.cancel.fans"),
  ];
}

/** @param {string} url @param {any} settings @param {any} progress @param {(progress: any) => void} draw */
function cancelForm(url, settings, progress, draw) {
  if (!may("operator")) return make("p", { className: "soft" }, phrase("console.cancel.not"));
  const points = consequences(progress);
  return form(
    { className: "card" },
    async ({ elements }) => {
      const reason = elements.reason.value.trim();
      const question = phrase("console.cancel.sure", { name: settings.name });
      if (!confirm(`${question}\n\n${points.join("\n")}`)) return;
      draw(await call("POST", url, { body: { reason } }));
    },
    make("h2", {}, settings.name),
    make("ul", {}, ...points.map((point) => make("li", {}, point))),
    field(phrase("console.cancel.reason"), {
      name: "reason",
      required: true,
      maxLength: 300,
      autocomplete: "off",
    }),
    make("button", { className: "danger" }, phrase("console.cancel")),
  );
}

/** @param {string} event @param {any} progress @returns {Node[]} */
function progressParts(event, progress) {
  const { cancelled, failures } = progress;
  const bar = make("progress", { max: progress.orders || 1, value: progress.orders ? progress.refunded : 1 });
  bar.setAttribute("aria-label", phrase("console.cancel.bar"));
  const isChargedBack = progress.money.some((/** @type {any} */ one) => one.charged_back.amount);
  const rows = [
    ["orders", count(progress.orders)],
    ["refunded", count(progress.refunded)],
    ["refunding", count(progress.refunding)],
    ["waiting", count(progress.waiting)],
    ["paying", count(progress.paying)],
    ["failed", count(progress.failed)],
    ["money_refunded", sum(progress.money, "refunded")],
    ...(isChargedBack ? [["charged_back", sum(progress.money, "charged_back")]] : []),
    ["outstanding", sum(progress.money, "outstanding")],
  ];
  const isUnderWay = progress.waiting + progress.refunding + progress.paying + progress.held > 0;
  const state = progress.done ? "done" : isUnderWay ? "under_way" : "left";
  const headings = ["what", "number"].map((name) => phrase(`console.cancel.column.${name}`));
  const counts = table(headings, rows, ([name, value]) => [
    make("td", {}, phrase(`console.cancel.row.${name}`)),
    make("td", { className: "num" }, value),
  ]);
  const parts = [
    make(
      "section",
      { className: "card" },
      make("h2", {}, phrase("console.cancel.at", { time: new Date(cancelled.at).toLocaleString(locale) })),
      make("p", {}, cancelled.reason),
      make("p", { role: "status", id: "progress-text" }, phrase(`console.cancel.state.${state}`)),
      bar,
      counts,
    ),
  ];
  const failureColumns = ["order", "amount", "why"].map((name) => phrase(`console.cancel.column.${name}`));
  if (failures.length)
    parts.push(
      make(
        "section",
        { className: "card" },
        make("h2", {}, phrase("console.cancel.failures")),
        table(failureColumns, failures, (/** @type {any} */ failure) => [
          make("td", {}, make("a", { href: `#/event/${event}/order/${failure.order}` }, failure.order.slice(0, 12))),
          make("td", { className: "num" }, money(failure.amount)),
          make("td", {}, `${reasonOf(failure.reason)} (${failure.detail})`),
        ]),
      ),
    );
  return parts;
}
