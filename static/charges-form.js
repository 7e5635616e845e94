// @ts-check
// The console's forms of fees, taxes and invoices.
import { call } from "./api.js";
import { field, form } from "./console.js";
import { make } from "./make.js";
import { decimalsOf } from "./money.js";

/** @param {string} url of the selling rules @param {any} rules @returns {Node[]} */
export function chargesForms(url, rules) {
  return [feesForm(url, rules), taxesForm(url, rules), invoicesForm(url, rules)];
}

/**
 * A form of a list, whose entries are added and removed.
 * @param {string} url @param {string} title @param {string} name of the list @param {any[]} entries
 * @param {(entry: any) => Node[]} fields @param {(line: any) => any} read
 */
function listForm(url, title, name, entries, fields, read) {
  const list = make("div");
  const one = name === "fees" ? "fee" : "tax";
  const add = (/** @type {any} */ entry) => {
    const remove = make("button", { type: "button", className: "quiet" }, "Remove");
    const line = make("div", { className: "line type", role: "group", "aria-label": one }, ...fields(entry), remove);
    remove.addEventListener("click", () => line.remove());
    list.append(line);
  };
  for (const entry of entries) add(entry);
  const another = make("button", { type: "button" }, `Add a ${one}`);
  another.addEventListener("click", () => {
    add(null);
    /** @type {HTMLElement} */ (list.lastElementChild?.querySelector("input")).focus();
  });
  return form(
    { className: "card wide" },
    async () => {
      const body = { [name]: [...list.children].map(read) };
      await call("PATCH", url, { body }).catch((problem) => {
        const { errors } = problem.body ?? {};
        if (!errors) throw problem;
        const lines = errors.map((/** @type {any} */ fault) => {
          const [, at, part] = /\[(\d+)\](?:\.(\w+))?/.exec(fault.field) ?? [];
          return at === undefined ? fault.detail : `${title} ${Number(at) + 1}, ${part ?? one}: ${fault.detail}`;
        });
        throw Object.assign(new Error(lines.join("\n")), { status: problem.status });
      });
      return "Saved. What is in a basket or sold stays as it is.";
    },
    make("h2", {}, title),
    list,
    make("div", { className: "line" }, another, make("button", { className: "primary" }, "Save")),
  );
}

const valueOf = (/** @type {any} */ line, /** @type {string} */ name) =>
  line.querySelector(`[name=${name}]`).value.trim();

/** @param {string} url @param {any} rules */
function feesForm(url, rules) {
  const decimals = decimalsOf(rules.currency);
  const kinds = [
    ["amount", `${rules.currency}, fixed`],
    ["percent", "% of the price"],
  ];
  const bearers = [
    ["ticket", "each ticket"],
    ["order", "each order"],
  ];
  const select = (/** @type {string[][]} */ all, /** @type {string} */ chosen) =>
    all.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
  const fields = (/** @type {any} */ fee) => [
    field("Name", { name: "name", maxLength: 100, required: true, value: fee?.name ?? "" }),
    field("For", { name: "per" }, "select", ...select(bearers, fee?.per ?? "ticket")),
    field("How much", {
      name: "value",
      type: "number",
      min: 0,
      step: 0.001,
      required: true,
      value: fee?.percent ?? (fee ? (fee.amount / 10 ** decimals).toFixed(decimals) : ""),
    }),
    field("In", { name: "kind" }, "select", ...select(kinds, fee?.percent ? "percent" : "amount")),
  ];
  const read = (/** @type {any} */ line) => {
    const value = valueOf(line, "value");
    return {
      name: valueOf(line, "name"),
      per: valueOf(line, "per"),
      ...(valueOf(line, "kind") === "percent"
        ? { percent: value }
        : { amount: Math.round(Number(value) * 10 ** decimals) }),
    };
  };
  return listForm(url, "Fees", "fees", rules.fees ?? [], fields, read);
}

/** @param {string} url @param {any} rules */
function taxesForm(url, rules) {
  const bases = [
    ["tickets fees", "tickets and fees"],
    ["tickets", "tickets"],
    ["fees", "fees"],
  ];
  const ways = [
    ["true", "contained in the prices"],
    ["false", "on top of the prices"],
  ];
  const fields = (/** @type {any} */ tax) => {
    const on = (tax?.on ?? ["tickets", "fees"]).slice().sort().reverse().join(" ");
    const options = (/** @type {string[][]} */ all, /** @type {string} */ chosen) =>
      all.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
    return [
      field("Name", { name: "name", maxLength: 100, required: true, placeholder: "VAT 19 %", value: tax?.name ?? "" }),
      field("Per cent", {
        name: "percent",
        type: "number",
        min: 0,
        max: 100,
        step: 0.001,
        required: true,
        value: tax?.percent ?? "",
      }),
      field("It is", { name: "included" }, "select", ...options(ways, String(tax?.included ?? true))),
      field("On", { name: "on" }, "select", ...options(bases, on)),
    ];
  };
  const read = (/** @type {any} */ line) => ({
    name: valueOf(line, "name"),
    percent: valueOf(line, "percent"),
    included: valueOf(line, "included") === "true",
    on: valueOf(line, "on").split(" "),
  });
  return listForm(url, "Taxes", "taxes", rules.taxes ?? [], fields, read);
}

/** @param {string} url @param {any} rules */
function invoicesForm(url, rules) {
  const { invoicing } = rules;
  const issues = /** @type {HTMLInputElement} */ (
    make("input", { type: "checkbox", name: "issues", checked: Boolean(invoicing) })
  );
  const parts = make(
    "div",
    {},
    field(
      "Seller: name and address",
      { name: "seller", maxLength: 500, rows: 4, value: invoicing?.seller ?? "" },
      "textarea",
    ),
    field("Tax number", { name: "tax_id", maxLength: 100, value: invoicing?.tax_id ?? "" }),
    field("Series: capital letters and digits", {
      name: "series",
      pattern: "[A-Z0-9]{1,20}",
      title: "Up to 20 capital letters and digits",
      value: invoicing?.series ?? "",
    }),
  );
  const show = () => {
    parts.hidden = !issues.checked;
  };
  issues.addEventListener("input", show);
  show();
  return form(
    { className: "card" },
    async (own) => {
      const of = (/** @type {string} */ name) => own.elements[name].value.trim();
      const tax = of("tax_id") ? { tax_id: of("tax_id") } : {};
      const body = { invoicing: issues.checked ? { seller: of("seller"), ...tax, series: of("series") } : null };
      await call("PATCH", url, { body }).catch((problem) => {
        const { errors } = problem.body ?? {};
        if (!errors) throw problem;
        const labels = { "invoicing.seller": "Seller", "invoicing.tax_id": "Tax number", "invoicing.series": "Series" };
        const lines = errors.map(
          (/** @type {any} */ fault) => `${/** @type {any} */ (labels)[fault.field] ?? fault.field}: ${fault.detail}`,
        );
        throw Object.assign(new Error(lines.join("\n")), { status: problem.status });
      });
      return issues.checked
        ? "Saved. Orders that are confirmed from now on get an invoice."
        : "No invoices from now on.";
    },
    make("h2", {}, "Invoices"),
    make("label", { className: "check" }, issues, " Issue invoices and credit notes"),
    parts,
    make("button", { className: "primary" }, "Save"),
  );
}
