// @ts-check
// The console's page of all settings of a sale that have no form elsewhere: times, line, gate, selling rules.
import { call } from "./api.js";
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
  ["prequeue_opens_at", "The line opens (empty: with the sale)", "time"],
  ["sale_opens_at", "The sale opens (empty: at once)", "time"],
  ["closes_at", "It closes (empty: never)", "time"],
  ["retention_days", "Days the line is kept after that", "number", { min: 1, max: 365 }],
];
/** @type {Setting[]} */
const line = [
  [
    "order",
    "Order (fixed once someone is in line)",
    "choice",
    [
      ["fifo", "First come, first served"],
      ["draw", "A draw among those in line when the sale opens"],
    ],
  ],
  ["admission.rate_per_minute", "Fans a minute, at most", "number", { min: 0, max: 6000000 }],
  ["admission.max_active", "Inside at one time, at most", "number", { min: 0, max: 1000000 }],
  ["admission.batch_seconds", "Seconds from one group to the next", "number", { min: 1, max: 60 }],
  ["admission.claim_seconds", "Seconds to come when it is a fan's turn", "number", seconds],
  ["admission.session_seconds", "Seconds to shop", "number", seconds],
  ["admission.extension_seconds", "Seconds more for fans who ask, once (0: none)", "number", { min: 0, max: 86400 }],
  ["admission.away_seconds", "Seconds a place is kept whose page is closed", "number", seconds],
];
/** @type {Setting[]} */
const beacon = [
  [
    "beacon.name",
    "Public randomness in a draw",
    "choice",
    [
      ["", "None"],
      ["quicknet", "drand quicknet"],
      ["default", "drand default"],
    ],
  ],
  ["beacon.round", "Its round", "number", { min: 1, required: false }],
];
/** @type {Setting[]} */
const gate = [
  ["checkout_url", "Shop elsewhere (empty: our checkout)", "text", { placeholder: "https://…", maxLength: 2000 }],
  ["passthrough_before_opening", "The gate lets everyone pass before the line opens", "check"],
  ["passthrough_after_closing", "The gate lets everyone pass after it closes", "check"],
];
/** @type {Setting[]} */
const rules = [
  ["hold_seconds", "Seconds that seats stay in a basket", "number", seconds],
  ["hold_max_seconds", "Seconds they are kept for a payment, at most", "number", seconds],
  ["max_seats_per_order", "Seats in one order, at most", "number", { min: 1, max: 100 }],
  ["max_seats_per_visitor", "Seats of one fan, at most", "number", { min: 1, max: 1000 }],
  ["currency", "Currency (fixed once something was in a basket)", "text", { pattern: "[A-Z]{3}", required: true }],
  [
    "orphans",
    "A single free seat between others",
    "choice",
    [
      ["avoid", "is avoided where we choose"],
      ["forbid", "may not be left by fans"],
      ["allow", "may be left"],
    ],
  ],
  [
    "late_payment",
    "Money that comes after its seats went back on sale",
    "choice",
    [
      ["exact_seats", "buys them if they are still free"],
      ["same_category", "buys them, or others of their category"],
      ["void", "buys nothing, and goes back"],
    ],
  ],
  [
    "order_fee_refund",
    "Fees of an order go back",
    "choice",
    [
      ["last_seat", "with its last seat"],
      ["never", "never"],
    ],
  ],
];

/** @param {string} event @returns {Promise<() => void>} shows the page */
export async function settingsPage(event) {
  const url = `${api}/events/${event}`;
  const [settings, selling] = await Promise.all([call("GET", url), call("GET", `${url}/checkout`), loadCurrencies()]);
  return () =>
    page(
      make("p", {}, make("a", { href: `#/event/${event}` }, "Back to the sale")),
      make("h1", {}, `Settings of ${settings.name}`),
      make(
        "div",
        { className: "grid" },
        timesForm(url, settings),
        settingsForm("The line", line, url, settings),
        beaconForm(url, settings),
        settingsForm("The way in", gate, url, settings),
        settingsForm("Selling rules", rules, `${url}/checkout`, selling),
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
      if (!Object.keys(body).length) return "Nothing is changed.";
      const after = await call("PATCH", url, { body }).catch((problem) => {
        throw named(inWords(problem), problem, all);
      });
      Object.assign(before, after);
      const kept = own.elements.zone;
      if (kept) kept.dataset.kept = zoneOf(own);
      return "Saved. It holds from now on.";
    },
    make("h2", {}, title),
    ...more,
    ...all.map((setting) => input(setting, valueAt(before, setting[0]), zone)),
    make("button", { className: "primary" }, "Save"),
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
  return settingsForm("When", times, url, settings, [label], own.value);
}

/** Public randomness is one value: a name and a round, or none. @param {string} url @param {any} settings */
function beaconForm(url, settings) {
  return form(
    { className: "card" },
    async (own) => {
      const name = own.elements["beacon.name"].value;
      const round = Number(own.elements["beacon.round"].value);
      if (name && !round) throw new Error("Give the round too: one that is published after the sale opens.");
      await call("PATCH", url, { body: { beacon: name ? { name, round } : null } }).catch((problem) => {
        throw inWords(problem);
      });
      return "Saved.";
    },
    make("h2", {}, "A draw that can be checked"),
    make(
      "p",
      { className: "soft" },
      "A round of public randomness, named in advance, is mixed into the draw, so that not even you know its order. " +
        "It can be changed until someone is in line.",
    ),
    ...beacon.map((setting) => input(setting, valueAt(settings, setting[0]))),
    make("button", { className: "primary" }, "Save"),
  );
}
