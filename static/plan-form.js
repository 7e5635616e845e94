// @ts-check
// A seating plan in a form: from a file or as text, with a preview of how it is understood, and its prices.
import { call } from "./api.js";
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
  constructor(text, currency = "EUR", label = "Seating plan (empty: none)") {
    this.currency = currency;
    const file = field("From a file: pretix's JSON, ours, or CSV", { type: "file", accept: ".json,.csv,.txt" });
    this.label = field(label, { name: "plan", value: text }, "textarea");
    this.area = /** @type {HTMLTextAreaElement} */ (this.label.querySelector("textarea"));
    this.seen = make("div", { className: "plan", role: "status" });
    const look = make("button", { type: "button" }, "Preview the plan");
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
    this.seen.replaceChildren("Reading the plan…");
    try {
      const url = `${api}/events/preview/seating?preview=true`;
      const plan = await call("PUT", url, { raw: this.area.value });
      this.seen.replaceChildren(...shown(plan, this.currency));
      return plan;
    } catch (problem) {
      const { body, message } = /** @type {any} */ (problem);
      const faults = body?.errors ?? [{ detail: message }];
      const list = faults.map((/** @type {any} */ fault) => make("li", {}, fault.detail));
      if (body?.more) list.push(make("li", {}, `and ${body.more} more`));
      this.seen.replaceChildren(make("p", { className: "bad" }, "This plan cannot be taken:"), make("ul", {}, ...list));
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
      if (![...inputs].some((input) => input.value)) throw new Error("Give the prices of the seating plan, below it.");
      return JSON.stringify({ plan: text, prices });
    }
    const plan = await this.preview();
    if (!plan) throw new Error("The seating plan cannot be taken: see what is said below it.");
    if (plan.unpriced.length) throw new Error("Give the prices of the seating plan, below it.");
    return text;
  }
}

/** @param {any} plan @param {string} currency */
function shown(plan, currency) {
  const decimals = decimalsOf(currency);
  const formats = { fairline: "Fairline's own format", pretix: "pretix's format", csv: "a CSV list" };
  const parts = [
    [plan.sections, "section"],
    [plan.rows, "row"],
    [plan.areas, "standing area"],
    [plan.shapes, "drawn shape"],
    [plan.accessible, "accessible seat"],
    [plan.companion, "companion seat"],
  ].filter(([count]) => count);
  const counts = parts.map(([count, name]) => `${count} ${name}${count === 1 ? "" : "s"}`).join(", ");
  const price = (/** @type {any} */ category) => {
    if (!plan.unpriced.includes(category.name))
      return category.price === null ? "not for sale" : (category.price / 10 ** decimals).toFixed(decimals);
    return make("input", {
      type: "number",
      min: 0,
      step: 10 ** -decimals,
      "data-category": category.id,
      "aria-label": `Price of ${category.name} in ${currency}, empty if it is not for sale`,
      placeholder: "not for sale",
    });
  };
  const categories = table(
    ["Category", "Seats", `Price in ${currency}`],
    plan.categories,
    (/** @type {any} */ category) => [
      make("td", {}, category.name),
      make("td", {}, String(category.seats)),
      make("td", {}, price(category)),
    ],
  );
  return [
    make(
      "p",
      {},
      `${plan.capacity} seats in ${/** @type {any} */ (formats)[plan.format]}: ${counts}. ` +
        `Fans read "${plan.examples.join('", "')}".`,
    ),
    categories,
    ...plan.warnings.map((/** @type {string} */ text) => make("p", { className: "warn" }, text)),
  ];
}
