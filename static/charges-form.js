// @ts-check
// The console's forms of fees, taxes and invoices.
import { call, phrase } from "./api.js";
import { field, form } from "./console.js";
import { make } from "./make.js";
import { decimalsOf } from "./money.js";

/** @param {string} url of the selling rules @param {any} rules @returns {Node[]} */
export function chargesForms(url, rules) {
  return [feesForm(url, rules), taxesForm(url, rules), invoicesForm(url, rules)];
}

/**
 * A form of a list, whose entries are added and removed.
 * @param {string} url @param {string} name of the list @param {any[]} entries
 * @param {(entry: any) => Node[]} fields @param {(line: any) => any} read
 */
function listForm(url, name, entries, fields, read) {
  const list = make("div");
  const title = phrase(`console.${name}`);
  const one = phrase(`console.${name}.one`);
  const add = (/** @type {any} */ entry) => {
    const remove = make("button", { type: "button", className: "quiet" }, phrase("console.remove"));
    const line = make("div", { className: "line type", role: "group", "aria-label": one }, ...fields(entry), remove);
    remove.addEventListener("click", () => line.remove());
    list.append(line);
  };
  for (const entry of entries) add(entry);
  const another = make("button", { type: "button" }, phrase(`console.${name}.add`));
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
      return phrase("console.charges.saved");
    },
    make("h2", {}, title),
    list,
    make("div", { className: "line" }, another, make("button", { className: "primary" }, phrase("console.save"))),
  );
}

const valueOf = (/** @type {any} */ line, /** @type {string} */ name) =>
  line.querySelector(`[name=${name}]`).value.trim();

/** @param {string} url @param {any} rules */
function feesForm(url, rules) {
  const decimals = decimalsOf(rules.currency);
  const kinds = [
    ["amount", phrase("console.fees.fixed", { currency: rules.currency })],
    ["percent", phrase("console.fees.percent")],
  ];
  const bearers = [
    ["ticket", phrase("console.fees.ticket")],
    ["order", phrase("console.fees.order")],
  ];
  const select = (/** @type {string[][]} */ all, /** @type {string} */ chosen) =>
    all.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
  const fields = (/** @type {any} */ fee) => [
    field(phrase("console.name"), { name: "name", maxLength: 100, required: true, value: fee?.name ?? "" }),
    field(phrase("console.fees.per"), { name: "per" }, "select", ...select(bearers, fee?.per ?? "ticket")),
    field(phrase("console.fees.value"), {
      name: "value",
      type: "number",
      min: 0,
      step: 0.001,
      required: true,
      value: fee?.percent ?? (fee ? (fee.amount / 10 ** decimals).toFixed(decimals) : ""),
    }),
    field(phrase("console.fees.in"), { name: "kind" }, "select", ...select(kinds, fee?.percent ? "percent" : "amount")),
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
  return listForm(url, "fees", rules.fees ?? [], fields, read);
}

/** @param {string} url @param {any} rules */
function taxesForm(url, rules) {
  const bases = [
    ["tickets fees", phrase("console.taxes.both")],
    ["tickets", phrase("console.taxes.tickets")],
    ["fees", phrase("console.taxes.fees")],
  ];
  const ways = [
    ["true", phrase("console.taxes.included")],
    ["false", phrase("console.taxes.on_top")],
  ];
  const fields = (/** @type {any} */ tax) => {
    const on = (tax?.on ?? ["tickets", "fees"]).slice().sort().reverse().join(" ");
    const options = (/** @type {string[][]} */ all, /** @type {string} */ chosen) =>
      all.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
    return [
      field(phrase("console.name"), {
        name: "name",
        maxLength: 100,
        required: true,
        placeholder: phrase("console.taxes.sample"),
        value: tax?.name ?? "",
      }),
      field(phrase("console.taxes.percent"), {
        name: "percent",
        type: "number",
        min: 0,
        max: 100,
        step: 0.001,
        required: true,
        value: tax?.percent ?? "",
      }),
      field(
        phrase("console.taxes.is"),
        { name: "included" },
        "select",
        ...options(ways, String(tax?.included ?? true)),
      ),
      field(phrase("console.taxes.on"), { name: "on" }, "select", ...options(bases, on)),
    ];
  };
  const read = (/** @type {any} */ line) => ({
    name: valueOf(line, "name"),
    percent: valueOf(line, "percent"),
    included: valueOf(line, "included") === "true",
    on: valueOf(line, "on").split(" "),
  });
  return listForm(url, "taxes", rules.taxes ?? [], fields, read);
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
      phrase("console.invoices.seller"),
      { name: "seller", maxLength: 500, rows: 4, value: invoicing?.seller ?? "" },
      "textarea",
    ),
    field(phrase("console.invoices.tax_number"), { name: "tax_id", maxLength: 100, value: invoicing?.tax_id ?? "" }),
    field(phrase("console.invoices.series"), {
      name: "series",
      pattern: "[A-Z0-9]{1,20}",
      title: phrase("console.invoices.series_rule"),
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
        const labels = {
          "invoicing.seller": phrase("console.invoices.label.seller"),
          "invoicing.tax_id": phrase("console.invoices.tax_number"),
          "invoicing.series": phrase("console.invoices.label.series"),
        };
        const lines = errors.map(
          (/** @type {any} */ fault) => `${/** @type {any} */ (labels)[fault.field] ?? fault.field}: ${fault.detail}`,
        );
        throw Object.assign(new Error(lines.join("\n")), { status: problem.status });
      });
      return issues.checked ? phrase("console.invoices.saved") : phrase("console.invoices.off");
    },
    make("h2", {}, phrase("console.order.invoices")),
    make("label", { className: "check" }, issues, ` ${phrase("console.invoices.issue")}`),
    parts,
    make("button", { className: "primary" }, phrase("console.save")),
  );
}
