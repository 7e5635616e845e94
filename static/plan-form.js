// @ts-check
// A seating plan in a form: from a file or as text, with a preview of how it is understood, and its prices.
import { call, count, locale, phrase } from "./api.js";
import { api, field, table } from "./console.js";
import { make } from "./make.js";
import { decimalsOf } from "./money.js";

/** Decodes a file by its byte-order mark. @param {File} file */
async function textOf(file) {
  const bytes = await file.arrayBuffer();
  const [first, second] = new Uint8Array(bytes);
  const encoding = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "";
  return new TextDecoder(encoding || "utf-8").decode(bytes);
}

export class PlanForm {
  /** @param {string} text the plan to begin with @param {string} [currency] @param {string} [label] */
  constructor(text, currency = "EUR", label = phrase("console.plan.or_none")) {
    this.currency = currency;
    const file = field(phrase("console.plan.file"), { type: "file", accept: ".json,.csv,.txt" });
    this.label = field(label, { name: "plan", value: text }, "textarea");
    this.area = /** @type {HTMLTextAreaElement} */ (this.label.querySelector("textarea"));
    this.seen = make("div", { className: "plan", role: "status" });
    const look = make("button", { type: "button" }, phrase("console.plan.preview"));
    file.addEventListener("change", async (change) => {
      const [chosen] = /** @type {HTMLInputElement} */ (change.target).files ?? [];
      if (!chosen) return;
      this.area.value = await textOf(chosen);
      this.preview();
    });
    this.area.addEventListener("input", () => this.seen.replaceChildren());
    look.addEventListener("click", () => this.preview());
    this.elements = [file, this.label, look, this.seen];
  }

  /** Shows how the plan is understood, and answers it; nothing if it is refused. */
  async preview() {
    this.seen.replaceChildren(phrase("console.plan.reading"));
    try {
      const url = `${api}/events/preview/seating?preview=true`;
      const plan = await call("PUT", url, { raw: this.area.value });
      this.seen.replaceChildren(...shown(plan, this.currency));
      return plan;
    } catch (problem) {
      const { body, message } = /** @type {any} */ (problem);
      const faults = body?.errors ?? [{ detail: message }];
      const list = faults.map((/** @type {any} */ fault) => make("li", { lang: "en" }, fault.detail));
      if (body?.more) list.push(make("li", {}, phrase("console.faults_more", { count: body.more })));
      this.seen.replaceChildren(
        make("p", { className: "bad" }, phrase("console.plan.refused")),
        make("ul", {}, ...list),
      );
      return null;
    }
  }

  /** The plan with its prices, as it is sent; empty without one. Fails if it would be refused. */
  async read() {
    const text = this.area.value.trim();
    if (!text) return "";
    const inputs = /** @type {NodeListOf<HTMLInputElement>} */ (this.seen.querySelectorAll("[data-category]"));
    if (inputs.length) {
      const scale = 10 ** decimalsOf(this.currency);
      const amount = (/** @type {HTMLInputElement} */ { value }) => (value ? Math.round(Number(value) * scale) : null);
      const prices = Object.fromEntries([...inputs].map((input) => [input.dataset.category, amount(input)]));
      if (![...inputs].some((input) => input.value)) throw new Error(phrase("console.plan.no_prices"));
      return JSON.stringify({ plan: text, prices });
    }
    const plan = await this.preview();
    if (!plan) throw new Error(phrase("console.plan.see_faults"));
    if (plan.unpriced.length) throw new Error(phrase("console.plan.no_prices"));
    return text;
  }
}

/** @param {any} plan @param {string} currency */
function shown(plan, currency) {
  const decimals = decimalsOf(currency);
  const format = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  const number = (/** @type {number} */ amount) => (amount / 10 ** decimals).toLocaleString(locale, format);
  const parts = ["sections", "rows", "areas", "shapes", "accessible", "companion"].filter((part) => plan[part]);
  const counts = parts.map((part) => phrase(`console.plan.count.${part}`, { count: plan[part] })).join(", ");
  const price = (/** @type {any} */ category) => {
    if (!plan.unpriced.includes(category.name))
      return category.price === null ? phrase("console.not_for_sale") : number(category.price);
    return make("input", {
      type: "number",
      min: 0,
      step: 10 ** -decimals,
      "data-category": category.id,
      "aria-label": phrase("console.plan.price_of", { category: category.name, currency }),
      placeholder: phrase("console.not_for_sale"),
    });
  };
  const categories = table(
    [
      phrase("console.plan.column.category"),
      phrase("console.plan.column.seats"),
      phrase("console.price_in", { currency }),
    ],
    plan.categories,
    (/** @type {any} */ category) => [
      make("td", {}, category.name),
      make("td", { className: "num" }, count(category.seats)),
      make("td", { className: "num" }, price(category)),
    ],
  );
  return [
    make(
      "p",
      {},
      phrase("console.plan.understood", {
        count: plan.capacity,
        format: phrase(`console.plan.format.${plan.format}`),
        counts,
        examples: plan.examples.map((/** @type {string} */ one) => phrase("console.quoted", { text: one })).join(", "),
      }),
    ),
    categories,
    ...plan.warnings.map((/** @type {string} */ text) => make("p", { className: "warn", lang: "en" }, text)),
  ];
}
