// @ts-check
// The console's form of the prices of a sale: of each category, and of its ticket types, such as those of children.
import { call, phrase } from "./api.js";
import { api, field, form } from "./console.js";
import { make } from "./make.js";
import { decimalsOf, loadCurrencies } from "./money.js";

/** The form of a sale, or nothing if it has no seating plan. @param {string} id */
export async function pricesForm(id) {
  const url = `${api}/events/${id}/checkout`;
  const asked = Promise.all([call("GET", `/api/v1/events/${id}/seating`), call("GET", url), loadCurrencies()]);
  const [layout, rules] = await asked.catch(() => [null]);
  if (!layout) return [];
  const known = new Map((rules.prices ?? []).map((/** @type {any} */ one) => [one.category, one]));
  const parts = layout.categories
    .filter((/** @type {any} */ category) => !category.not_for_sale)
    .map((/** @type {any} */ category) => new CategoryPart(category, known.get(category.id), rules.currency));
  const save = async () => {
    const prices = parts.map((/** @type {CategoryPart} */ part) => part.read()).filter(Boolean);
    await call("PATCH", url, { body: { prices } }).catch((problem) => {
      throw inWords(problem, prices, layout);
    });
    return phrase("console.prices.saved");
  };
  return [
    form(
      { className: "card wide" },
      save,
      make("h2", {}, phrase("console.prices")),
      make("p", { className: "soft" }, phrase("console.prices.text")),
      ...parts.map((/** @type {CategoryPart} */ part) => part.element),
      make("button", { className: "primary" }, phrase("console.prices.save")),
    ),
  ];
}

/** A refusal with the names of the categories and types that it is about. @param {any} problem @param {any[]} prices @param {any} layout */
function inWords(problem, prices, layout) {
  const errors = problem.body?.errors;
  if (!errors) return problem;
  const lines = errors.map((/** @type {any} */ { field, detail }) => {
    const [, at, type, name] = /^prices\[(\d+)\](?:\.ticket_types\[(\d+)\])?\.(\w+)$/.exec(field) ?? [];
    if (!name) return `${field}: ${detail}`;
    const own = prices[Number(at)];
    const category = layout.categories.find((/** @type {any} */ one) => one.id === own.category);
    const where = [
      category?.name ?? own.category,
      type && (own.ticket_types[Number(type)].name || phrase("console.prices.type")),
    ];
    return `${where.filter(Boolean).join(", ")}, ${phrase(`console.prices.label.${name}`) || name}: ${detail}`;
  });
  return Object.assign(new Error(`${lines.join(". ")}.`), { status: problem.status });
}

/** An id that a name gives, and that none of the others has. @param {string} name @param {string[]} others */
function idOf(name, others) {
  const plain = name.normalize("NFKD").toLowerCase();
  const words = plain
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 30)
    .replace(/^-|-$/g, "");
  const id = words || "type";
  for (let count = 1; ; count++) {
    const own = count === 1 ? id : `${id}-${count}`;
    if (own !== "standard" && !others.includes(own)) return own;
  }
}

/** The prices of one category. */
class CategoryPart {
  /** @param {any} category @param {any} set what is set already @param {string} currency */
  constructor(category, set, currency) {
    this.category = category;
    this.set = set;
    this.scale = 10 ** decimalsOf(currency);
    this.currency = currency;
    this.price = this.#amount(phrase("console.price_in", { currency }), category.price.amount);
    this.name = field(phrase("console.prices.usual"), {
      value: set?.standard_name ?? "",
      maxLength: 100,
      placeholder: phrase("console.standard"),
    });
    this.list = make("div");
    const add = make("button", { type: "button" }, phrase("console.prices.add"));
    add.addEventListener("click", () => {
      this.#add(null);
      /** @type {HTMLElement} */ (this.list.lastElementChild?.querySelector("input")).focus();
    });
    this.element = make(
      "fieldset",
      {},
      make("legend", {}, category.name),
      make("div", { className: "line" }, this.price, this.name),
      this.list,
      add,
    );
    for (const type of set?.ticket_types ?? []) this.#add(type);
    this.#showName();
  }

  /** @param {string} text @param {number} [amount] */
  #amount(text, amount) {
    const value = amount === undefined ? "" : (amount / this.scale).toFixed(Math.log10(this.scale));
    return field(text, { type: "number", min: 0, step: 1 / this.scale, value, required: true });
  }

  /** The usual ticket has a name only beside others. */
  #showName() {
    this.name.hidden = !this.list.children.length;
  }

  /** @param {any} type */
  #add(type) {
    const remove = make("button", { type: "button", className: "quiet" }, phrase("console.remove"));
    const line = make(
      "div",
      { className: "line type", role: "group", "aria-label": phrase("console.prices.type"), "data-id": type?.id ?? "" },
      field(phrase("console.prices.type"), {
        name: "name",
        value: type?.name ?? "",
        maxLength: 100,
        required: true,
        placeholder: phrase("console.prices.child"),
      }),
      this.#amount(phrase("console.price_in", { currency: this.currency }), type?.price),
      field(phrase("console.prices.most"), {
        name: "most",
        type: "number",
        min: 1,
        max: 100,
        value: type?.max_per_order ?? "",
        placeholder: phrase("console.prices.any"),
      }),
      field(phrase("console.prices.note"), {
        name: "note",
        value: type?.note ?? "",
        maxLength: 200,
        placeholder: phrase("console.prices.note_sample"),
      }),
      make(
        "label",
        { className: "check" },
        make("input", { type: "checkbox", name: "accompanied", checked: Boolean(type?.accompanied) }),
        ` ${phrase("console.prices.accompanied")}`,
      ),
      remove,
    );
    remove.addEventListener("click", () => {
      line.remove();
      this.#showName();
    });
    this.list.append(line);
    this.#showName();
  }

  /** @param {Element} label */
  #minor(label) {
    return Math.round(Number(label.querySelector("input")?.value) * this.scale);
  }

  /** What is to be set of the category; nothing if the plan says all. */
  read() {
    /** @type {string[]} */ const ids = [];
    const lines = [...this.list.children];
    for (const line of lines) if (line.getAttribute("data-id")) ids.push(String(line.getAttribute("data-id")));
    const ticket_types = lines.map((line) => {
      const input = (/** @type {string} */ name) =>
        /** @type {HTMLInputElement} */ (line.querySelector(`input[name=${name}]`));
      const name = input("name").value.trim();
      const own = line.getAttribute("data-id") || idOf(name, ids);
      if (!ids.includes(own)) ids.push(own);
      line.setAttribute("data-id", own);
      const [most, note] = [input("most").value, input("note").value.trim()];
      return {
        id: own,
        name,
        price: this.#minor(line.children[1]),
        ...(most ? { max_per_order: Number(most) } : {}),
        ...(input("accompanied").checked ? { accompanied: true } : {}),
        ...(note ? { note } : {}),
      };
    });
    const price = this.#minor(this.price);
    const isSet = this.set?.price !== undefined || price !== this.category.price.amount;
    const standard_name = this.name.querySelector("input")?.value.trim();
    if (!isSet && !ticket_types.length) return null;
    return {
      category: this.category.id,
      ...(isSet ? { price } : {}),
      ...(ticket_types.length && standard_name ? { standard_name } : {}),
      ticket_types,
    };
  }
}
