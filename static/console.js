// @ts-check
// Parts of the organiser's console: its pages, and forms that show a refusal in place.
import { $, phrase } from "./api.js";
import { make } from "./make.js";

export const api = "/api/v1/organiser";
/** @param {string | undefined} phase none for a draft */
export const phaseName = (phase) => phrase(`console.phase.${phase ?? "draft"}`);

const roles = ["viewer", "operator", "admin"];
let ownRole = "viewer";

/** @param {string} role the role of the key that signed in */
export const signedInAs = (role) => {
  ownRole = role;
};

/** Whether the key that signed in may do what this role may: nothing else is offered. @param {string} role */
export const may = (role) => roles.indexOf(ownRole) >= roles.indexOf(role);

/** Ends what the page that is shown started. @type {(() => void)[]} */
let ends = [];

/** Tells screen readers. @param {string} text */
export function say(text) {
  $("live").textContent = text;
}

/** Shows another page. @param {...(Node|string)} inside */
export function page(...inside) {
  for (const end of ends) end();
  ends = [];
  $("main").replaceChildren(...inside);
  $("main").querySelector("h1")?.setAttribute("tabindex", "-1");
}

/** Calls `end` when another page is shown. @param {() => void} end */
export function atEnd(end) {
  ends.push(end);
}

/**
 * Does what a form or a button is for, and shows the outcome in its place. A refusal for want of a session is an event,
 * `signed-out`, of the window.
 * @param {any} outcome
 * @param {() => Promise<string | void>} act
 */
async function attempt(outcome, act) {
  const show = (/** @type {string} */ className, /** @type {string} */ text, isEnglish = false) => {
    outcome.className = className;
    outcome.textContent = text;
    outcome.hidden = false;
    if (isEnglish) outcome.lang = "en";
    else outcome.removeAttribute("lang");
  };
  outcome.hidden = true;
  try {
    const done = await act();
    if (!done) return;
    show("good", done);
    say(done);
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    if (p.status === 401) return void dispatchEvent(new Event("signed-out"));
    // Refusals of the API are in English.
    show("bad", p.message, Boolean(p.body?.title));
  }
}

const makeOutcome = () => make("p", { role: "alert", className: "bad", hidden: true });

/**
 * A form whose submit is awaited, with its refusal shown in place.
 * @param {Record<string, any>} set
 * @param {(form: any) => Promise<string | void>} act
 * @param {...(Node|string)} inside
 */
export function form(set, act, ...inside) {
  const outcome = makeOutcome();
  const element = make("form", set, ...inside, outcome);
  element.addEventListener("submit", (submit) => {
    submit.preventDefault();
    attempt(outcome, () => act(element));
  });
  return element;
}

/**
 * A button outside of a form, with its refusal shown beside it.
 * @param {Record<string, any>} set
 * @param {string} text
 * @param {(button: any) => Promise<string | void>} act
 */
export function button(set, text, act) {
  const outcome = makeOutcome();
  const element = make("button", { type: "button", ...set }, text);
  element.addEventListener("click", () => attempt(outcome, () => act(element)));
  return make("div", {}, element, outcome);
}

/** @param {string} text @param {Record<string, any>} set @param {string} [tag] @param {...(Node|string)} inside */
export const field = (text, set, tag = "input", ...inside) => make("label", {}, text, make(tag, set, ...inside));

/**
 * A table; headings of numbers are aligned as they are.
 * @param {string[]} headings @param {any[]} rows @param {(row: any) => any[]} cells
 */
export function table(headings, rows, cells) {
  const body = rows.map((row) => make("tr", {}, ...cells(row)));
  const isOfNumbers = (/** @type {number} */ at) => body.some((row) => row.children[at]?.classList.contains("num"));
  const heading = (/** @type {string} */ text, /** @type {number} */ at) =>
    make("th", { scope: "col", className: isOfNumbers(at) ? "num" : "" }, text);
  const head = make("tr", {}, ...headings.map(heading));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}
