// @ts-check
// The console's page of all settings of a sale that have no form elsewhere: times, line, gate, selling rules.
import { call, phrase } from "./api.js";
import { api, field, form, page } from "./console.js";
import { chargesForms } from "./charges-form.js";
import { inWords, zoneField, zoneOf } from "./event-form.js";
import { make } from "./make.js";
import { loadCurrencies } from "./money.js";
import { toInstant, toLocal } from "./zones.js";

/** A setting: its path, its label, its kind, and the attributes or the choices of its field. @typedef {[string, string, string, any?]} Setting */

const seconds = { min: 1, max: 86400 };
/** @type {Setting[]} */
const times = [
  ["prequeue_opens_at", phrase("console.set.prequeue"), "time"],
  ["sale_opens_at", phrase("console.set.sale"), "time"],
  ["closes_at", phrase("console.set.closes"), "time"],
  ["retention_days", phrase("console.set.kept"), "number", { min: 1, max: 365 }],
];
/** @type {Setting[]} */
const line = [
  [
    "order",
    phrase("console.set.order"),
    "choice",
    [
      ["fifo", phrase("console.order.fifo")],
      ["draw", phrase("console.order.draw")],
    ],
  ],
  ["admission.rate_per_minute", phrase("console.set.rate_max"), "number", { min: 0, max: 6000000 }],
  ["admission.max_active", phrase("console.new.active"), "number", { min: 0, max: 1000000 }],
  ["admission.batch_seconds", phrase("console.set.batch"), "number", { min: 1, max: 60 }],
  ["admission.claim_seconds", phrase("console.set.claim"), "number", seconds],
  ["admission.session_seconds", phrase("console.set.session"), "number", seconds],
  ["admission.extension_seconds", phrase("console.set.extension"), "number", { min: 0, max: 86400 }],
  ["admission.away_seconds", phrase("console.set.away"), "number", seconds],
];
/** @type {Setting[]} */
const beacon = [
  [
    "beacon.name",
    phrase("console.set.beacon"),
    "choice",
    [
      ["", phrase("console.set.beacon.none")],
      ["quicknet", "drand quicknet"],
      ["default", "drand default"],
    ],
  ],
  ["beacon.round", phrase("console.set.round"), "number", { min: 1, required: false }],
];
/** @type {Setting[]} */
const gate = [
  ["checkout_url", phrase("console.set.url"), "text", { placeholder: "https://…", maxLength: 2000 }],
  ["passthrough_before_opening", phrase("console.set.before"), "check"],
  ["passthrough_after_closing", phrase("console.set.after"), "check"],
];
/** @type {Setting[]} */
const rules = [
  ["hold_seconds", phrase("console.set.hold"), "number", seconds],
  ["hold_max_seconds", phrase("console.set.hold_max"), "number", seconds],
  ["max_seats_per_order", phrase("console.set.seats_order"), "number", { min: 1, max: 100 }],
  ["max_seats_per_visitor", phrase("console.set.seats_fan"), "number", { min: 1, max: 1000 }],
  ["currency", phrase("console.set.currency"), "text", { pattern: "[A-Z]{3}", required: true }],
  [
    "orphans",
    phrase("console.set.orphans"),
    "choice",
    [
      ["avoid", phrase("console.set.orphans.avoid")],
      ["forbid", phrase("console.set.orphans.forbid")],
      ["allow", phrase("console.set.orphans.allow")],
    ],
  ],
  [
    "late_payment",
    phrase("console.set.late"),
    "choice",
    [
      ["exact_seats", phrase("console.set.late.exact")],
      ["same_category", phrase("console.set.late.category")],
      ["void", phrase("console.set.late.void")],
    ],
  ],
  [
    "order_fee_refund",
    phrase("console.set.fee_refund"),
    "choice",
    [
      ["last_seat", phrase("console.set.fee_refund.last")],
      ["never", phrase("console.set.fee_refund.never")],
    ],
  ],
];

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function settingsPage(event) {
  const url = `${api}/events/${event}`;
  const [settings, selling] = await Promise.all([call("GET", url), call("GET", `${url}/checkout`), loadCurrencies()]);
  return () =>
    page(
      make("p", {}, make("a", { href: `#/event/${event}` }, phrase("console.back"))),
      make("h1", {}, phrase("console.settings.of", { name: settings.name })),
      make(
        "div",
        { className: "grid" },
        timesForm(url, settings),
        settingsForm(phrase("console.settings.line"), line, url, settings),
        beaconForm(url, settings),
        settingsForm(phrase("console.settings.way_in"), gate, url, settings),
        settingsForm(phrase("console.settings.rules"), rules, `${url}/checkout`, selling),
        ...chargesForms(`${url}/checkout`, selling),
      ),
    );
}

/** @param {any} object @param {string} path */
const valueAt = (object, path) => path.split(".").reduce((value, name) => value?.[name], object);

/** @param {Setting} setting @param {any} value @param {string} [zone] */
function input([path, label, kind, more], value, zone = "UTC") {
  if (kind === "choice") {
    const options = more.map((/** @type {[string, string]} */ [own, text]) =>
      make("option", { value: own, selected: own === (value ?? "") }, text),
    );
    return field(label, { name: path }, "select", ...options);
  }
  if (kind === "check") {
    const box = make("input", { name: path, type: "checkbox", checked: Boolean(value) });
    return make("label", { className: "check" }, box, ` ${label}`);
  }
  if (kind === "time") return field(label, { name: path, type: "datetime-local", value: toLocal(value, zone) });
  const type = kind === "number" ? { type: "number", required: true, step: 1 } : { type: "text" };
  return field(label, { name: path, ...type, ...more, value: value ?? "" });
}

/** The settings that a form changes, as they are sent. @param {Setting[]} all @param {any} form @param {any} before */
function changed(all, form, before) {
  const zone = form.elements.zone ? zoneOf(form) : "UTC";
  const kept = form.elements.zone?.dataset.kept ?? zone;
  /** @type {any} */ const patch = {};
  for (const [path, , kind] of all) {
    const element = form.elements[path];
    const was = valueAt(before, path) ?? null;
    const text = element.value.trim();
    /** @type {any} */ let value = text || null;
    if (kind === "check") value = element.checked;
    if (kind === "number") value = text ? Number(text) : null;
    if (kind === "time") {
      // A time is shown to the minute: one that was not touched stays as it is.
      if (text === toLocal(was, kept) && zone === kept) continue;
      value = toInstant(text, zone);
    }
    if (value === was) continue;
    const [first, second] = path.split(".");
    if (second) patch[first] = { ...patch[first], [second]: value };
    else patch[first] = value;
  }
  return patch;
}

/**
 * A form of some settings.
 * @param {string} title @param {Setting[]} all @param {string} url @param {any} before @param {Node[]} more fields before them
 * @param {string} [zone]
 */
function settingsForm(title, all, url, before, more = [], zone = "UTC") {
  return form(
    { className: "card" },
    async (own) => {
      const body = changed(all, own, before);
      if (!Object.keys(body).length) return phrase("console.settings.unchanged");
      const after = await call("PATCH", url, { body }).catch((problem) => {
        throw named(inWords(problem), problem, all);
      });
      Object.assign(before, after);
      const kept = own.elements.zone;
      if (kept) kept.dataset.kept = zoneOf(own);
      return phrase("console.settings.saved");
    },
    make("h2", {}, title),
    ...more,
    ...all.map((setting) => input(setting, valueAt(before, setting[0]), zone)),
    make("button", { className: "primary" }, phrase("console.save")),
  );
}

/** A refusal in which settings are called as in the form. @param {Error} error @param {any} problem @param {Setting[]} all */
function named(error, problem, all) {
  const errors = problem.body?.errors;
  if (!errors) return error;
  const lines = errors.map((/** @type {any} */ { field: path, detail }) => {
    const label = all.find(([own]) => own === path)?.[1].replace(/ \(.*\)/, "");
    if (!label) return null;
    const words = all.reduce((text, [own, other]) => text.replaceAll(own, `"${other.replace(/ \(.*\)/, "")}"`), detail);
    return `${label}: ${words}`;
  });
  if (lines.includes(null)) return error;
  return Object.assign(new Error(lines.join("\n")), { status: problem.status });
}

/** @param {string} url @param {any} settings */
function timesForm(url, settings) {
  const zone = settings.details?.time_zone;
  const label = zoneField(zone);
  const own = /** @type {HTMLInputElement} */ (label.querySelector("input"));
  own.dataset.kept = own.value;
  return settingsForm(phrase("console.settings.when"), times, url, settings, [label], own.value);
}

/** Public randomness is one value: a name and a round, or none. @param {string} url @param {any} settings */
function beaconForm(url, settings) {
  return form(
    { className: "card" },
    async (own) => {
      const name = own.elements["beacon.name"].value;
      const round = Number(own.elements["beacon.round"].value);
      if (name && !round) throw new Error(phrase("console.beacon.no_round"));
      await call("PATCH", url, { body: { beacon: name ? { name, round } : null } }).catch((problem) => {
        throw inWords(problem);
      });
      return phrase("console.beacon.saved");
    },
    make("h2", {}, phrase("console.beacon")),
    make("p", { className: "soft" }, phrase("console.beacon.text")),
    ...beacon.map((setting) => input(setting, valueAt(settings, setting[0]))),
    make("button", { className: "primary" }, phrase("console.save")),
  );
}
