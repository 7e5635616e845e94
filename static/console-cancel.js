// @ts-check
// The console's page that cancels a show, and tells how far its refunds have come.
import { call, locale } from "./api.js";
import { api, atEnd, field, form, may, page, say, table } from "./console.js";
import { reasons } from "./console-order.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";

const AGAIN_MS = 2000;

/** @param {number} count @param {string} one */
const counted = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

/** Sums in all currencies. @param {any[]} sums @param {"refunded" | "charged_back" | "outstanding"} which */
const sum = (sums, which) =>
  sums
    .map((one) => one[which])
    .filter((one) => one.amount)
    .map(money)
    .join(" and ") || "no money";

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
    if (isCancelled) say(`${progress.refunded} of ${counted(progress.orders, "order")} refunded`);
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
      make("h1", {}, "Cancel the show"),
      make("a", { href: `#/event/${event}` }, "Back to the sale"),
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
    "The line closes, and nothing more is sold, held or checked in.",
    "Held seats are released, and payments that are under way are given up.",
    orders
      ? `${counted(orders, "order")} will be refunded whole, also the fees: ${sum(progress.money, "outstanding")}.`
      : "There is no order to refund.",
    "Fans and buyers read your reason on every page and in the mail about their refund.",
  ];
}

/** @param {string} url @param {any} settings @param {any} progress @param {(progress: any) => void} draw */
function cancelForm(url, settings, progress, draw) {
  if (!may("operator")) return make("p", { className: "soft" }, "This show is not cancelled.");
  const points = consequences(progress);
  return form(
    { className: "card" },
    async ({ elements }) => {
      const reason = elements.reason.value.trim();
      const question = `Cancel “${settings.name}”? This cannot be undone.\n\n${points.join("\n")}`;
      if (!confirm(question)) return;
      draw(await call("POST", url, { body: { reason } }));
    },
    make("h2", {}, settings.name),
    make("ul", {}, ...points.map((point) => make("li", {}, point))),
    field("Reason, as fans and buyers read it", {
      name: "reason",
      required: true,
      maxLength: 300,
      autocomplete: "off",
    }),
    make("button", { className: "danger" }, "Cancel the show"),
  );
}

/** @param {string} event @param {any} progress @returns {Node[]} */
function progressParts(event, progress) {
  const { cancelled, failures } = progress;
  const bar = make("progress", { max: progress.orders || 1, value: progress.orders ? progress.refunded : 1 });
  bar.setAttribute("aria-label", "Orders that were refunded");
  const isChargedBack = progress.money.some((/** @type {any} */ one) => one.charged_back.amount);
  const rows = [
    ["Orders", progress.orders],
    ["Refunded", progress.refunded],
    ["Being refunded", progress.refunding],
    ["Refund not begun", progress.waiting],
    ["Not paid for, being given up", progress.paying],
    ["Need a look", progress.failed],
    ["Given back", sum(progress.money, "refunded")],
    ...(isChargedBack ? [["Charged back", sum(progress.money, "charged_back")]] : []),
    ["Yet to be given back", sum(progress.money, "outstanding")],
  ];
  const words = progress.done
    ? "Everything is settled."
    : progress.waiting + progress.refunding + progress.paying + progress.held
      ? "The refunds are being made. They go on when you leave this page."
      : "All that is left needs a look.";
  const counts = table(["What", "How many"], rows, ([name, value]) => [
    make("td", {}, name),
    make("td", { className: "num" }, String(value)),
  ]);
  counts.querySelector("th:last-child")?.classList.add("num");
  const parts = [
    make(
      "section",
      { className: "card" },
      make("h2", {}, `Cancelled on ${new Date(cancelled.at).toLocaleString(locale)}`),
      make("p", {}, cancelled.reason),
      make("p", { role: "status", id: "progress-text" }, words),
      bar,
      counts,
    ),
  ];
  if (failures.length)
    parts.push(
      make(
        "section",
        { className: "card" },
        make("h2", {}, "These need a look"),
        table(["Order", "Amount", "Why"], failures, (/** @type {any} */ failure) => [
          make("td", {}, make("a", { href: `#/event/${event}/order/${failure.order}` }, failure.order.slice(0, 12))),
          make("td", { className: "num" }, money(failure.amount)),
          make("td", {}, `${reasons[failure.reason] ?? failure.reason} (${failure.detail})`),
        ]),
      ),
    );
  return parts;
}
