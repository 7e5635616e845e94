// @ts-check
// The console's page of a seating plan: it is changed by looking at the difference and confirming it.
import { call, count, root } from "./api.js";
import { api, button, page, say, table } from "./console.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";
import { PlanForm } from "./plan-form.js";

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function planPage(event) {
  const url = `${api}/events/${event}`;
  const none = (/** @type {any} */ problem) => {
    if (problem.status === 404) return "";
    throw problem;
  };
  const [plan, rules] = await Promise.all([
    call("GET", `${url}/seating`).catch(none),
    call("GET", `${url}/checkout`),
    loadCurrencies(),
  ]);
  const text = typeof plan === "string" ? plan : JSON.stringify(plan, null, 1);
  return () => show(event, text, rules.currency);
}

/** @param {string} event @param {string} text @param {string} currency */
function show(event, text, currency) {
  const url = `${api}/events/${event}/seating`;
  const form = new PlanForm(text, currency, "Seating plan");
  const seen = make("div", { role: "status" });
  /** @param {string} raw @param {any} difference @param {string} [note] */
  const offer = (raw, difference, note) => {
    const confirm = button({ className: "primary" }, difference ? "Confirm the change" : "Set the plan", async () => {
      const path = difference ? `${url}?confirm=${difference.confirmation}` : url;
      try {
        await call("PUT", path, { raw });
      } catch (problem) {
        const { body } = /** @type {any} */ (problem);
        if (!body?.difference) throw inLines(problem);
        return offer(raw, body.difference, "Something was sold or changed meanwhile. This is the difference now:");
      }
      seen.replaceChildren(make("p", { className: "good" }, "The plan is set. Fans see it from now on."));
      say("The plan is set.");
    });
    seen.replaceChildren(
      make("h2", {}, "What changes"),
      ...(note ? [make("p", { className: "warn" }, note)] : []),
      ...(difference ? shown(difference, currency) : [make("p", {}, "The sale has no seating plan yet.")]),
      confirm,
    );
  };
  const compare = button({ className: "primary" }, "See what changes", async () => {
    seen.replaceChildren();
    const raw = await form.read();
    if (!raw) throw new Error("Give a seating plan.");
    const { difference } = await call("PUT", `${url}?preview=true`, { raw }).catch((problem) => {
      throw inLines(problem);
    });
    offer(raw, difference);
    say("This is what changes.");
  });
  form.area.addEventListener("input", () => seen.replaceChildren());
  page(
    make("p", {}, make("a", { href: `#/event/${event}` }, "Back to the sale")),
    make("h1", {}, "Seating plan"),
    make(
      "p",
      { className: "soft" },
      "Also while tickets are sold. Seats that are sold or in a basket stay where they are, tickets keep what was " +
        "paid for them, and blocked seats stay blocked. You see what changes before anything does. ",
      make("a", { href: `${root}/e/${event}/seats?preview`, target: "_blank" }, "The plan as fans see it"),
    ),
    make("section", { className: "card" }, ...form.elements, compare, seen),
  );
}

/** A refusal with each of its faults on a line. @param {any} problem */
function inLines(problem) {
  const { errors, more } = problem.body ?? {};
  if (!errors) return problem;
  const lines = errors.map((/** @type {any} */ { detail }) => detail);
  if (more) lines.push(`and ${more} more`);
  return Object.assign(new Error(lines.join("\n")), { status: problem.status });
}

/** @param {any} difference @param {string} currency @returns {Node[]} */
function shown(difference, currency) {
  const price = (/** @type {number | null} */ amount) =>
    amount === null ? "not for sale" : money({ amount, currency });
  const cells = (/** @type {string[]} */ ...words) => words.map((text) => make("td", {}, text));
  const numbers = (/** @type {number[]} */ ...all) => all.map((one) => make("td", { className: "num" }, count(one)));
  const list = (/** @type {any} */ { examples, seats }) =>
    make("td", {}, examples.join("; ") + (seats > examples.length ? " …" : ""));
  /** @type {[string, string[], any[], (one: any) => Node[]][]} */
  const parts = [
    [
      "Added",
      ["Category", "Seats", "Such as"],
      difference.added,
      (one) => [...cells(one.category), ...numbers(one.seats), list(one)],
    ],
    [
      "Removed",
      ["Category", "Seats", "Of those blocked", "Such as"],
      difference.removed,
      (one) => [...cells(one.category), ...numbers(one.seats, one.blocked), list(one)],
    ],
    [
      "Other prices",
      ["Category", "Now", "Then", "Seats", "Sold: they keep theirs"],
      difference.repriced,
      (one) => [...cells(one.category, price(one.from), price(one.to)), ...numbers(one.seats, one.sold)],
    ],
    [
      "In another category",
      ["Now", "Then", "Seats", "Sold: they keep their price", "Such as"],
      difference.moved,
      (one) => [...cells(one.from, one.to), ...numbers(one.seats, one.sold), list(one)],
    ],
  ];
  const some = parts.filter(([, , rows]) => rows.length);
  const { capacity_before: before, capacity } = difference;
  return [
    make(
      "p",
      {},
      before === capacity
        ? `${count(capacity)} seats, as now.`
        : `${count(before)} seats now, ${count(capacity)} then.`,
    ),
    ...(some.length
      ? []
      : [make("p", {}, "No seat is added, removed, moved or repriced. Positions and names may differ.")]),
    ...some.flatMap(([title, headings, rows, of]) => [
      make("h3", {}, title),
      make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": title }, table(headings, rows, of)),
    ]),
  ];
}
