// @ts-check
// The organiser's console: sign in, the list of sales, a new sale, the audit log.
import { $, call, locale, phrase, root } from "./api.js";
import { api, field, form, may, page, phaseName, signedInAs, table } from "./console.js";
import { cancelPage } from "./console-cancel.js";
import { orderPage, reviewsNote, reviewsPage } from "./console-order.js";
import { deskPage } from "./console-desk.js";
import { ordersPage } from "./console-orders.js";
import { planPage } from "./console-plan.js";
import { seatsPage } from "./console-seats.js";
import { settingsPage } from "./console-settings.js";
import { deliveriesPage, messagesPage } from "./console-webhooks.js";
import { dashboard } from "./dashboard.js";
import { detailFields, inWords, readDetails, zoneField, zoneOf } from "./event-form.js";
import { health, healthNote } from "./health.js";
import { make } from "./make.js";
import { PlanForm } from "./plan-form.js";
import { toInstant } from "./zones.js";

function signIn() {
  asked += 1;
  $("nav").hidden = $("sign-out").hidden = true;
  $("who").textContent = "";
  page(
    form(
      { className: "card narrow" },
      async (f) => {
        await call("POST", `${api}/session`, { body: { key: f.elements.key.value } }).catch((problem) => {
          throw problem.status === 401 ? new Error(phrase("console.no_key")) : problem;
        });
        await begin();
      },
      make("h1", {}, phrase("console.organiser")),
      make("p", { className: "soft" }, phrase("console.sign_in.text")),
      field(phrase("console.sign_in.key"), {
        name: "key",
        type: "password",
        autocomplete: "current-password",
        required: true,
      }),
      make("button", { className: "primary" }, phrase("console.sign_in")),
    ),
  );
}

async function sales() {
  const events = await call("GET", `${api}/events`);
  const open = await call("GET", "/api/v1/events");
  const note = (await Promise.all([healthNote(), reviewsNote()])).flat();
  const phase = new Map(open.map((/** @type {any} */ e) => [e.id, e.phase]));
  return () =>
    page(
      make(
        "div",
        { className: "heading above" },
        make("h1", {}, phrase("console.sales")),
        ...(may("admin") ? [make("a", { className: "button primary end", href: "#/new" }, phrase("console.new"))] : []),
      ),
      ...note,
      events.length
        ? make(
            "div",
            { className: "grid" },
            ...events.map((/** @type {any} */ e) =>
              make(
                "section",
                { className: "card" },
                make("h2", {}, make("a", { href: `#/event/${e.id}` }, e.name)),
                make(
                  "p",
                  {},
                  make("span", { className: "pill" }, phaseName(phase.get(e.id))),
                  ` ${phrase("console.a_minute", { count: e.admission.rate_per_minute })}`,
                ),
                make("a", { href: `${root}/e/${e.id}` }, phrase("console.queue_page")),
              ),
            ),
          )
        : make("p", { className: "soft" }, phrase("console.no_sale")),
    );
}

const sample = {
  categories: [
    { id: "stalls", name: phrase("console.sample.stalls"), price: 6500 },
    { id: "standing", name: phrase("console.sample.standing"), price: 3900 },
  ],
  sections: [{ id: "st", name: phrase("console.sample.stalls"), category: "stalls", rows: 20, seats_per_row: 30 }],
  areas: [{ id: "floor", name: phrase("console.sample.floor"), category: "standing", capacity: 400 }],
};

/** Creates the event, and its plan; without its plan there is no event either. @param {any} f @param {PlanForm} planForm */
async function openSale(f, planForm) {
  const of = (/** @type {string} */ name) => f.elements[name].value.trim();
  const at = (/** @type {string} */ name) => toInstant(of(name), zoneOf(f));
  // Before there is an event: without its plan it would be on sale for a moment.
  const plan = await planForm.read();
  const id = of("id");
  await call("POST", `${api}/events`, {
    body: {
      id,
      name: of("name"),
      details: readDetails(f),
      published: f.elements.published.checked,
      order: of("order"),
      prequeue_opens_at: at("prequeue"),
      sale_opens_at: at("sale"),
      closes_at: at("closes"),
      retention_days: Number(of("kept")),
      admission: { rate_per_minute: Number(of("rate")), max_active: Number(of("active")) },
      checkout_url: of("url") || null,
      passthrough_before_opening: f.elements.before.checked,
      passthrough_after_closing: f.elements.after.checked,
    },
  }).catch((problem) => {
    throw inWords(problem);
  });
  if (plan)
    await call("PUT", `${api}/events/${id}/seating`, { raw: plan }).catch(async (problem) => {
      await call("DELETE", `${api}/events/${id}`).catch(() => {});
      throw problem;
    });
  location.hash = `#/event/${id}`;
}

function create() {
  const planForm = new PlanForm(JSON.stringify(sample, null, 1));
  const time = (/** @type {string} */ text, /** @type {string} */ name) =>
    field(text, { name, type: "datetime-local" });
  page(
    make("h1", {}, phrase("console.new")),
    form(
      { className: "card" },
      (f) => openSale(f, planForm),
      make(
        "div",
        { className: "grid" },
        make(
          "div",
          {},
          field(phrase("console.name"), { name: "name", required: true, maxLength: 200 }),
          field(phrase("console.address"), {
            name: "id",
            required: true,
            pattern: "[a-z0-9][a-z0-9\\-]{0,62}",
            title: phrase("console.address.rule"),
          }),
          zoneField(),
          make(
            "label",
            {},
            phrase("console.order"),
            make(
              "select",
              { name: "order" },
              make("option", { value: "fifo" }, phrase("console.order.fifo")),
              make("option", { value: "draw" }, phrase("console.order.draw")),
            ),
          ),
          time(phrase("console.set.prequeue"), "prequeue"),
          time(phrase("console.set.sale"), "sale"),
          time(phrase("console.set.closes"), "closes"),
          field(phrase("console.new.kept"), {
            name: "kept",
            type: "number",
            value: 7,
            min: 1,
            max: 365,
            required: true,
          }),
        ),
        ...detailFields(null),
        make(
          "div",
          {},
          field(phrase("console.set.rate"), { name: "rate", type: "number", value: 600, min: 0, required: true }),
          field(phrase("console.new.active"), { name: "active", type: "number", value: 500, min: 0, required: true }),
          field(phrase("console.set.url"), { name: "url", placeholder: "https://…" }),
          field(phrase("console.set.before"), { name: "before", type: "checkbox" }),
          field(phrase("console.set.after"), { name: "after", type: "checkbox" }),
          ...planForm.elements,
        ),
      ),
      make(
        "label",
        { className: "check" },
        make("input", { name: "published", type: "checkbox" }),
        ` ${phrase("console.new.publish")}`,
      ),
      make("button", { className: "primary" }, phrase("console.new.create")),
    ),
  );
}

async function audit() {
  const [own, checkout] = await Promise.allSettled(
    ["audit", "audit/checkout"].map((path) => call("GET", `${api}/${path}?limit=200`)),
  );
  if (own.status === "rejected") throw own.reason;
  // In one process both have one log; a waiting room alone has no checkout.
  const isMissing = checkout.status === "rejected" && checkout.reason.status !== 404;
  const all = [...own.value, ...(checkout.status === "fulfilled" ? checkout.value : [])];
  const entries = [...new Map(all.map((e) => [JSON.stringify(e), e])).values()];
  entries.sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const short = (/** @type {any} */ value) =>
    value === null ? "" : make("code", {}, JSON.stringify(value).slice(0, 300));
  const columns = ["when", "who", "where", "what", "sale", "from", "to"];
  const headings = columns.map((name) => phrase(`console.audit.${name}`));
  const changes = table(headings, entries, (e) =>
    [new Date(e.at).toLocaleString(locale), e.by, e.address ?? "", e.action, e.event, short(e.from), short(e.to)].map(
      (cell) => make("td", {}, cell),
    ),
  );
  const card = { className: "card scroll", tabIndex: 0, role: "region", "aria-label": phrase("console.audit.changes") };
  const note = phrase("console.audit.missing");
  return () =>
    page(
      make("h1", {}, phrase("console.audit")),
      ...(isMissing ? [make("p", { className: "note" }, note)] : []),
      make("div", card, changes),
    );
}

/** Loads the page that the address names. @returns {Promise<() => void>} shows it */
async function load() {
  const [, where, id, what, order] = location.hash.split("/");
  if (where === "event" && what === "order") return orderPage(decodeURIComponent(id), decodeURIComponent(order));
  if (where === "event" && what === "cancel") return cancelPage(decodeURIComponent(id));
  if (where === "event" && what === "desk") return deskPage(decodeURIComponent(id));
  if (where === "event" && what === "seats") return seatsPage(decodeURIComponent(id));
  if (where === "event" && what === "settings") return settingsPage(decodeURIComponent(id));
  if (where === "event" && what === "plan") return planPage(decodeURIComponent(id));
  if (where === "event" && what === "orders") return ordersPage(decodeURIComponent(id));
  if (where === "messages") return id ? deliveriesPage(decodeURIComponent(id)) : messagesPage();
  if (where === "reviews") return reviewsPage();
  if (where === "event") return dashboard(decodeURIComponent(id));
  if (where === "new") return create;
  if (where === "audit") return audit();
  if (where === "health") return health();
  return sales();
}

/** Number of times that a page was asked for: what is loaded for an earlier one is not shown any more. */
let asked = 0;

async function route() {
  const own = ++asked;
  const show = await load().catch((problem) => (problem.status === 401 ? signIn : () => sayFailed(problem)));
  if (own === asked) show();
}

/** @param {any} problem */
const sayFailed = (problem) =>
  page(
    make("h1", {}, phrase("console.failed")),
    make("p", { className: "bad", role: "alert" }, problem.message),
    make("a", { href: "#/" }, phrase("console.all_sales")),
  );

/** Shows the way to the pages of the doors. */
async function doors() {
  const events = await call("GET", "/api/v1/events");
  $("sign-out").hidden = false;
  const link = (/** @type {any} */ e) => make("li", {}, make("a", { href: `${root}/door/${e.id}` }, e.name));
  page(
    make("h1", {}, phrase("console.doors")),
    make("p", { className: "soft" }, phrase("console.doors.text")),
    make("ul", {}, ...events.map(link)),
  );
}

async function begin() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    history.replaceState(null, "", location.pathname);
    await call("POST", `${api}/session`, { body: { code } }).catch(() => {});
  }
  try {
    const me = await call("GET", `${api}/session`);
    $("who").textContent = `${me.name} · ${phrase(`console.role.${me.role}`)}`;
    $("nav").hidden = $("sign-out").hidden = false;
    signedInAs(me.role);
    $("new").hidden = !may("admin");
    $("messages").hidden = !may("operator");
    await route();
  } catch (problem) {
    // A key of a door, which may do nothing here.
    if (/** @type {any} */ (problem).status === 403) await doors().catch(signIn);
    else signIn();
  }
}

// The page in another language shows the same part of the console.
for (const link of $("languages").querySelectorAll("a"))
  link.addEventListener("click", () => {
    link.hash = location.hash;
  });
$("sign-out").addEventListener("click", () => call("DELETE", `${api}/session`).then(signIn, sayFailed));
window.addEventListener("hashchange", route);
window.addEventListener("signed-out", signIn);
begin();
