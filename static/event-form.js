// @ts-check
// The fields of an event's details in people's words, for a new sale and for one that is there.
import { phrase } from "./api.js";
import { field } from "./console.js";
import { make } from "./make.js";
import { ownZone, toInstant, toLocal, zones } from "./zones.js";

const local = { type: "datetime-local" };
const address = { placeholder: "https://…", maxLength: 2000 };
const mail = { placeholder: phrase("console.field.mail_sample"), maxLength: 2000 };

/** Fields by their path, each with its label, attributes and tag. @type {[string, string, any, string?][]} */
const about = [
  ["subtitle", phrase("console.field.subtitle"), { maxLength: 200 }],
  ["venue.name", phrase("console.field.venue"), { maxLength: 200 }],
  ["venue.address", phrase("console.field.venue_address"), { maxLength: 300 }],
  ["starts_at", phrase("console.field.start"), local],
  ["doors_at", phrase("console.field.doors"), local],
  ["description", phrase("console.field.description"), { maxLength: 5000, rows: 6 }, "textarea"],
];
/** @type {[string, string, any, string?][]} */
const looks = [
  ["image_url", phrase("console.field.picture"), address],
  ["logo_url", phrase("console.field.logo"), address],
];
/** @type {[string, string, any, string?][]} */
const links = [
  ["links.contact", phrase("console.field.contact"), mail],
  ["links.imprint", phrase("console.field.imprint"), mail],
  ["links.terms", phrase("console.field.terms"), mail],
  ["links.privacy", phrase("console.field.privacy"), mail],
];
/** @type {[string, string][]} */
const colours = [
  ["colours.background", phrase("console.field.background")],
  ["colours.text", phrase("console.field.text")],
];

/** Labels of what a refusal may name. @type {Record<string, string>} */
const labels = {
  id: phrase("console.label.address"),
  name: phrase("console.name"),
  order: phrase("console.order"),
  prequeue_opens_at: phrase("console.label.prequeue"),
  sale_opens_at: phrase("console.label.sale"),
  closes_at: phrase("console.label.closes"),
  retention_days: phrase("console.label.kept"),
  checkout_url: phrase("console.label.url"),
  "admission.rate_per_minute": phrase("console.set.rate"),
  "admission.max_active": phrase("console.label.active"),
  "details.language": phrase("console.label.language"),
  "details.time_zone": phrase("console.label.zone"),
  ...Object.fromEntries([...about, ...looks, ...links, ...colours].map(([path, label]) => [`details.${path}`, label])),
};
/** Settings, as rules name them. @type {[RegExp, string][]} */
const settings = [
  [/\bsale_opens_at\b/g, "the opening of the sale"],
  [/\bstarts_at\b/g, "the start"],
  [/\border: draw\b/g, "a draw"],
];

/** A refusal with the labels of its fields. @param {any} problem @returns {Error} */
export function inWords(problem) {
  const errors = problem.body?.errors;
  if (!errors) return problem;
  const lines = errors.map((/** @type {any} */ error) => {
    const rule = settings.reduce((text, [name, words]) => text.replace(name, words), String(error.detail));
    return `${labels[error.field] ?? error.field}: ${rule}`;
  });
  return Object.assign(new Error(`${lines.join(". ")}.`), { status: problem.status });
}

/** @param {any} details @param {string} path */
const valueAt = (details, path) => path.split(".").reduce((value, name) => value?.[name], details);

/** The language of the pages, mails and tickets. @param {string} [code] */
function languageField(code) {
  const languages = (document.body.dataset.languages ?? "").split(",").map((named) => named.split(" "));
  const options = languages.map(([value, name]) => make("option", { value, selected: value === (code || "en") }, name));
  return field(phrase("console.field.language"), { name: "language" }, "select", ...options);
}

/** The time zone of all dates of the form. @param {string} [zone] */
export function zoneField(zone) {
  const input = make("input", { name: "zone", value: zone || ownZone(), required: true, autocomplete: "off" });
  // The property of this name cannot be set.
  input.setAttribute("list", "zones");
  const names = make("datalist", { id: "zones" }, ...zones().map((name) => make("option", { value: name })));
  return make("label", {}, phrase("console.field.zone"), input, names);
}

/** The time zone that a form names. @param {any} form @returns {string} */
export const zoneOf = (form) => form.elements.zone.value.trim();

/** @param {any} details @returns {Node[]} */
export function detailFields(details) {
  const zone = details?.time_zone || ownZone();
  const input = (/** @type {[string, string, any, string?]} */ [path, label, set, tag]) => {
    const value = valueAt(details, path) ?? "";
    return field(label, { name: path, ...set, value: set === local ? toLocal(value, zone) : value }, tag);
  };
  const group = (/** @type {string} */ title, /** @type {Node[]} */ ...inside) =>
    make("fieldset", {}, make("legend", {}, title), ...inside);
  return [
    group(phrase("console.fields.read"), languageField(details?.language), ...about.map(input)),
    make(
      "div",
      {},
      group(phrase("console.fields.look"), ...looks.map(input), ...colourFields(details)),
      group(phrase("console.fields.links"), ...links.map(input)),
    ),
  ];
}

/** @param {any} details @returns {Node[]} */
function colourFields(details) {
  const sample = make("span", { className: "button" }, phrase("console.fields.sample"));
  const inputs = colours.map(([path, label]) => {
    const value = valueAt(details, path) ?? (path === "colours.text" ? "#ffffff" : "#5a35c8");
    return /** @type {[string, any]} */ ([label, make("input", { name: path, type: "color", value })]);
  });
  const own = make("input", { name: "own-colours", type: "checkbox", checked: Boolean(details?.colours) });
  const rows = make(
    "div",
    { className: "line" },
    ...inputs.map(([label, input]) => make("label", {}, label, input)),
    sample,
  );
  const show = () => {
    rows.hidden = !(/** @type {HTMLInputElement} */ (own).checked);
    sample.style.background = sample.style.borderColor = inputs[0][1].value;
    sample.style.color = inputs[1][1].value;
  };
  for (const element of [own, ...inputs.map(([, input]) => input)]) element.addEventListener("input", show);
  show();
  return [make("label", { className: "check" }, own, ` ${phrase("console.fields.colours")}`), rows];
}

/** The details that a form has. @param {any} form */
export function readDetails(form) {
  const zone = zoneOf(form);
  /** @type {any} */
  const details = { time_zone: zone };
  // English is what an event without a language has.
  if (form.elements.language.value !== "en") details.language = form.elements.language.value;
  const put = (/** @type {string} */ path, /** @type {string | null} */ value) => {
    if (!value) return;
    const [first, second] = path.split(".");
    if (second) details[first] = { ...details[first], [second]: value };
    else details[first] = value;
  };
  for (const [path, , set] of [...about, ...looks, ...links]) {
    const text = form.elements[path].value.trim();
    put(path, set === local ? toInstant(text, zone) : text);
  }
  if (details.venue && !details.venue.name) throw new Error(phrase("console.field.no_venue"));
  if (form.elements["own-colours"].checked) for (const [path] of colours) put(path, form.elements[path].value);
  return details;
}
