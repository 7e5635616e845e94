// @ts-check
// The console's page of a seating plan: it is changed by looking at the difference and confirming it.
import { call, count, phrase, root } from "./api.js";
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
  const form = new PlanForm(text, currency, phrase("console.plan"));
  const seen = make("div", { role: "status" });
  /** @param {string} raw @param {any} difference @param {string} [note] */
  const offer = (raw, difference, note) => {
    const confirm = button(
      { className: "primary" },
      phrase(difference ? "console.plan.confirm" : "console.plan.set"),
      async () => {
        const path = difference ? `${url}?confirm=${difference.confirmation}` : url;
        try {
          await call("PUT", path, { raw });
        } catch (problem) {
          const { body } = /** @type {any} */ (problem);
          if (!body?.difference) throw inLines(problem);
          return offer(raw, body.difference, phrase("console.plan.again"));
        }
        seen.replaceChildren(make("p", { className: "good" }, phrase("console.plan.done")));
        say(phrase("console.plan.is_set"));
      },
    );
    seen.replaceChildren(
      make("h2", {}, phrase("console.plan.changes")),
      ...(note ? [make("p", { className: "warn" }, note)] : []),
      ...(difference ? shown(difference, currency) : [make("p", {}, phrase("console.plan.none"))]),
      confirm,
    );
  };
  const compare = button({ className: "primary" }, phrase("console.plan.see"), async () => {
    seen.replaceChildren();
    const raw = await form.read();
    if (!raw) throw new Error(phrase("console.plan.give"));
    const { difference } = await call("PUT", `${url}?preview=true`, { raw }).catch((problem) => {
      throw inLines(problem);
    });
    offer(raw, difference);
    say(phrase("console.plan.this_changes"));
  });
  form.area.addEventListener("input", () => seen.replaceChildren());
  page(
    make("p", {}, make("a", { href: `#/event/${event}` }, phrase("console.back"))),
    make("h1", {}, phrase("console.plan")),
    make(
      "p",
      { className: "soft" },
      `${phrase("console.plan.text")} `,
      make("a", { href: `${root}/e/${event}/seats?preview`, target: "_blank" }, phrase("console.plan.as_fans")),
    ),
    make("section", { className: "card" }, ...form.elements, compare, seen),
  );
}

/** A refusal with each of its faults on a line. @param {any} problem */
function inLines(problem) {
  const { errors, more } = problem.body ?? {};
  if (!errors) return problem;
  const lines = errors.map((/** @type {any} */ { detail }) => detail);
  if (more) lines.push(phrase("console.faults_more", { count: more }));
  return Object.assign(new Error(lines.join("\n")), { status: problem.status });
}

/** @param {any} difference @param {string} currency @returns {Node[]} */
function shown(difference, currency) {
  const price = (/** @type {number | null} */ amount) =>
    amount === null ? phrase("console.not_for_sale") : money({ amount, currency });
  const cells = (/** @type {string[]} */ ...words) => words.map((text) => make("td", {}, text));
  const prices = (/** @type {any[]} */ ...all) => all.map((one) => make("td", { className: "num" }, price(one)));
  const numbers = (/** @type {number[]} */ ...all) => all.map((one) => make("td", { className: "num" }, count(one)));
  const list = (/** @type {any} */ { examples, seats }) =>
    make("td", {}, examples.join("; ") + (seats > examples.length ? " …" : ""));
  /** @type {[string, string[], any[], (one: any) => Node[]][]} */
  const parts = [
    [
      "added",
      ["category", "seats", "examples"],
      difference.added,
      (one) => [...cells(one.category), ...numbers(one.seats), list(one)],
    ],
    [
      "removed",
      ["category", "seats", "blocked", "examples"],
      difference.removed,
      (one) => [...cells(one.category), ...numbers(one.seats, one.blocked), list(one)],
    ],
    [
      "repriced",
      ["category", "now", "then", "seats", "keep_theirs"],
      difference.repriced,
      (one) => [...cells(one.category), ...prices(one.from, one.to), ...numbers(one.seats, one.sold)],
    ],
    [
      "moved",
      ["now", "then", "seats", "keep_price", "examples"],
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
        ? phrase("console.plan.as_now", { count: capacity })
        : phrase("console.plan.other", { before, count: capacity }),
    ),
    ...(some.length ? [] : [make("p", {}, phrase("console.plan.same"))]),
    ...some.flatMap(([part, columns, rows, of]) => {
      const title = phrase(`console.plan.part.${part}`);
      const headings = columns.map((name) => phrase(`console.plan.column.${name}`));
      return [
        make("h3", {}, title),
        make(
          "div",
          { className: "scroll", tabIndex: 0, role: "region", "aria-label": title },
          table(headings, rows, of),
        ),
      ];
    }),
  ];
}
