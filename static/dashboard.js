// @ts-check
// The console's page of one sale: live figures and plots, steering, its newest orders.
import { call, count, locale, phrase, root } from "./api.js";
import { api, atEnd, button, field, form, may, page, phaseName, say, table } from "./console.js";
import { changeOffer } from "./console-changes.js";
import { orderTable } from "./console-orders.js";
import { detailFields, inWords, readDetails, zoneField } from "./event-form.js";
import { funnel } from "./funnel.js";
import { hourlySales } from "./hourly-sales.js";
import { make } from "./make.js";
import { loadCurrencies } from "./money.js";
import { plot } from "./plot.js";
import { pricesForm } from "./prices-form.js";

/** Figures come once a second; older ones are said to be old. */
const SILENCE_MS = 5000;
/** Samples that are kept for the plots. */
const SAMPLES_MAX = 4000;
/** Points of a plot. */
const POINTS_MAX = 300;
const PLOT_EVERY_MS = 2000;

/** @param {string} id @returns {Promise<() => void>} shows the page */
export async function dashboard(id) {
  const url = `${api}/events/${id}`;
  const settings = await call("GET", url);
  const samples = await call("GET", `${url}/history?minutes=60`);
  const prices = may("admin") ? await pricesForm(id) : [];
  return () => show(id, settings, samples, prices);
}

/** @param {string} id @param {any} settings @param {any[]} samples @param {Node[]} prices */
function show(id, settings, samples, prices) {
  const url = `${api}/events/${id}`;
  const steers = may("operator");
  const pill = make("span", { className: "pill" });
  const silence = make("p", { className: "bad", role: "status", hidden: true });
  const trouble = make("p", { className: "note", role: "status", lang: "en", hidden: true });
  const tell = (/** @type {string | undefined} */ words) => {
    trouble.hidden = !words;
    trouble.textContent = words ?? "";
  };
  // Of a cancelled show nothing is sold any more.
  const sells = steers && !settings.cancelled;
  const tiles = make("div", { className: "tiles" });
  const plots = make("div", { className: "plots" });
  const shared = make("section", { className: "card" });
  const hourly = hourlySales(url);
  const way = funnel(url);
  const orders = make("div", {
    className: "scroll",
    tabIndex: 0,
    role: "region",
    "aria-label": phrase("console.newest"),
  });
  page(
    make(
      "div",
      { className: "heading above" },
      make("h1", {}, settings.name),
      pill,
      ...(sells ? [switchButton(url, settings, "paused"), switchButton(url, settings, "passthrough")] : []),
      ...(may("admin") ? [switchButton(url, settings, "published")] : []),
      make("a", { href: `#/event/${id}/orders` }, phrase("console.orders")),
      ...(sells
        ? [
            make("a", { href: `#/event/${id}/desk` }, phrase("console.desk")),
            make("a", { href: `#/event/${id}/seats` }, phrase("console.block_seats")),
          ]
        : []),
      ...(may("admin")
        ? [
            make("a", { href: `#/event/${id}/plan` }, phrase("console.plan")),
            make("a", { href: `#/event/${id}/settings` }, phrase("console.settings")),
          ]
        : []),
      make("a", { href: `${root}/e/${id}`, target: "_blank" }, phrase("console.queue_page")),
      make("a", { href: `${root}/e/${id}/seats?preview`, target: "_blank" }, phrase("console.fan_seats")),
      ...(steers ? [make("a", { href: `${root}/door/${id}`, target: "_blank" }, phrase("console.door"))] : []),
      make("a", { href: `${root}${url}/history?minutes=240`, target: "_blank" }, phrase("console.history")),
      ...(steers || settings.cancelled
        ? [
            make(
              "a",
              { href: `#/event/${id}/cancel` },
              phrase(settings.cancelled ? "console.is_cancelled" : "console.cancel"),
            ),
          ]
        : []),
    ),
    ...(settings.cancelled
      ? [make("p", { className: "note" }, phrase("console.cancelled_because", { reason: settings.cancelled.reason }))]
      : []),
    silence,
    trouble,
    tiles,
    plots,
    make(
      "div",
      { className: "grid" },
      ...(steers
        ? [admissionForm(url, settings.admission), messageForm(url, settings.message), visitorForm(url), shared]
        : []),
      hourly.card,
      way.card,
      make(
        "section",
        { className: "card wide" },
        make("h2", {}, phrase("console.newest")),
        orders,
        make("p", {}, make("a", { href: `#/event/${id}/orders` }, phrase("console.search_all"))),
      ),
      ...(may("admin") ? [eventForm(url, settings)] : []),
      ...prices,
    ),
  );
  const listShared = () =>
    steers &&
    call("GET", `${url}/shared-admissions`).then(
      (all) => shared.replaceChildren(...sharedTable(all)),
      () => {},
    );
  listShared();
  hourly.begin();
  way.begin();
  let plottedAt = -Infinity,
    heardAt = performance.now();
  const draw = (/** @type {any} */ now) => {
    heardAt = performance.now();
    pill.textContent = phaseName(settings.published ? now.phase : undefined);
    tell(now.trouble);
    tiles.replaceChildren(...figures(now));
    samples.push(now);
    if (samples.length > SAMPLES_MAX) samples.shift();
    if (performance.now() - plottedAt < PLOT_EVERY_MS) return;
    plottedAt = performance.now();
    plots.replaceChildren(...drawPlots(samples, Boolean(now.availability)));
  };
  if (samples.length) draw(samples.pop());
  const stream = new EventSource(`${root}${url}/stats/stream`);
  atEnd(() => stream.close());
  stream.onmessage = (event) => draw(JSON.parse(event.data));
  stream.addEventListener("trouble", (event) => tell(event.data));
  const list = async () => {
    const asked = Promise.all([call("GET", `${url}/orders?limit=20`), loadCurrencies()]);
    const [newest] = await asked.catch(() => [null]);
    // The last figures stay; the words above them say that they are old.
    if (!newest) return;
    const none = make("p", { className: "soft" }, phrase("console.none_yet"));
    orders.replaceChildren(newest.orders.length ? orderTable(newest.orders, id) : none);
  };
  list();
  const timer = setInterval(() => {
    list();
    listShared();
  }, 5000);
  atEnd(() => clearInterval(timer));
  const watch = setInterval(() => {
    const is = performance.now() - heardAt > SILENCE_MS;
    if (is === !silence.hidden) return;
    const since = new Date(performance.timeOrigin + heardAt).toLocaleTimeString(locale);
    silence.textContent = phrase("console.silence.figures", { since });
    silence.hidden = !is;
  }, 1000);
  atEnd(() => clearInterval(watch));
}

/**
 * A button that turns a setting on and off.
 * @param {string} url @param {any} settings @param {string} name
 */
function switchButton(url, settings, name) {
  const label = () => phrase(`console.switch.${name}.${settings[name] ? "off" : "on"}`);
  return button({}, label(), async (element) => {
    settings[name] = (await call("PATCH", url, { body: { [name]: !settings[name] } }))[name];
    say(phrase("console.switched", { next: label() }));
    element.textContent = label();
  });
}

/** @param {string} url @param {any} admission */
function admissionForm(url, admission) {
  const number = (/** @type {string} */ name, /** @type {number} */ value) => ({
    name,
    type: "number",
    min: 0,
    value,
    required: true,
  });
  return form(
    { className: "card" },
    async (f) => {
      const admission = { rate_per_minute: Number(f.elements.rate.value), max_active: Number(f.elements.active.value) };
      await call("PATCH", url, { body: { admission } });
      return phrase("console.admission.set");
    },
    make("h2", {}, phrase("console.admission")),
    make(
      "div",
      { className: "line" },
      field(phrase("console.set.rate"), number("rate", admission.rate_per_minute)),
      field(phrase("console.admission.active"), number("active", admission.max_active)),
      make("button", { className: "primary" }, phrase("console.admission.do")),
    ),
  );
}

/** @param {string} url @param {any} settings */
function eventForm(url, settings) {
  const [place, offer] = changeOffer(settings.id, settings.details);
  return form(
    { className: "card wide" },
    async (f) => {
      const body = { name: f.elements.name.value.trim(), details: readDetails(f) };
      await call("PATCH", url, { body }).catch((problem) => {
        throw inWords(problem);
      });
      // Nothing was ever sold of an event that the checkout does not know.
      await offer(body.details).catch(() => {});
      return phrase("console.details.saved");
    },
    make("h2", {}, phrase("console.details")),
    make(
      "div",
      { className: "grid" },
      make(
        "div",
        {},
        field(phrase("console.name"), { name: "name", required: true, maxLength: 200, value: settings.name }),
        zoneField(settings.details?.time_zone),
      ),
      ...detailFields(settings.details),
    ),
    make("button", { className: "primary" }, phrase("console.save")),
    place,
  );
}

/** @param {string} url @param {string | null} message */
function messageForm(url, message) {
  return form(
    { className: "card" },
    async (f) => {
      const text = f.elements.message.value.trim();
      await call("PATCH", url, { body: { message: text || null } });
      return text ? phrase("console.message.sent") : phrase("console.message.back");
    },
    make("h2", {}, phrase("console.message")),
    make(
      "div",
      { className: "line" },
      field(phrase("console.message.text"), { name: "message", value: message || "", maxLength: 500 }),
      make("button", { className: "primary" }, phrase("console.message.send")),
    ),
  );
}

/** Finds a visitor, and ejects them. @param {string} url */
function visitorForm(url) {
  const found = make("div");
  const show = (/** @type {any} */ visitor) => {
    const isEjected = visitor.state === "ejected";
    const eject = button({ className: "danger", disabled: isEjected }, phrase("console.visitor.eject"), async () => {
      if (!confirm(phrase("console.visitor.sure", { number: visitor.number }))) return;
      await call("DELETE", `${url}/line/${visitor.visitor}`);
      found.replaceChildren(
        make("p", { className: "good" }, phrase("console.visitor.ejected", { number: visitor.number })),
      );
    });
    const state = phrase(`console.visitor.state.${visitor.state}`) || visitor.state;
    const where = phrase("console.visitor.where", { number: visitor.number, state, ahead: visitor.ahead });
    found.replaceChildren(make("p", {}, `${where} `, make("code", {}, visitor.visitor)), eject);
  };
  return form(
    { className: "card" },
    async (f) => show(await call("GET", `${url}/line/${encodeURIComponent(f.elements.visitor.value.trim())}`)),
    make("h2", {}, phrase("console.visitor")),
    make(
      "div",
      { className: "line" },
      field(phrase("console.visitor.which"), { name: "visitor", required: true }),
      make("button", {}, phrase("console.visitor.find")),
    ),
    found,
  );
}

/** The figures of this moment, as tiles. @param {any} now */
function figures(now) {
  const { availability: seats, per_minute: rates, waited_seconds: waited } = now;
  const all = [
    ["waiting", now.waiting],
    ["admitted", now.admitted],
    ["shopping", now.shopping],
    ["rate_admitted", rates.admitted],
    ["rate_joined", rates.joined],
    ["rate_missed", rates.missed],
    ["waited", waited.p50 === null ? "–" : [waited.p50, waited.p90].map(count).join(" / ")],
  ];
  if (seats) all.push(["available", seats.available], ["held", seats.held], ["booked", seats.booked]);
  return all.map(([name, value]) =>
    make(
      "div",
      { className: "card tile" },
      make("b", {}, value.toLocaleString(locale)),
      make("span", {}, phrase(`console.figure.${name}`)),
    ),
  );
}

/** @param {any[]} samples @param {boolean} hasSeats */
function drawPlots(samples, hasSeats) {
  /** @type {[string, (sample: any) => number | undefined][]} */
  const all = [
    ["waiting", (s) => s.waiting],
    ["admitted", (s) => s.per_minute.admitted],
    ["shopping", (s) => s.shopping],
  ];
  if (hasSeats) all.push(["held", (s) => s.availability?.held], ["booked", (s) => s.availability?.booked]);
  const step = Math.ceil(samples.length / POINTS_MAX);
  const shown = samples.filter((_, i) => i % step === 0 || i === samples.length - 1);
  return all.map(([figure, of]) => {
    const name = phrase(`console.plot.${figure}`);
    const points = shown.map((s) => ({ at: Date.parse(s.at), value: of(s) ?? 0 }));
    return make("section", { className: "card" }, make("h2", {}, name), plot(name, points));
  });
}

/** Who hands an admission on. @param {any[]} all */
function sharedTable(all) {
  const headings = ["number", "visitor", "clients", "refused"].map((name) => phrase(`console.shared.${name}`));
  const rows = table(headings, all, (one) => [
    make("td", { className: "num" }, count(one.number)),
    make("td", {}, make("code", {}, one.visitor)),
    make("td", { className: "num" }, count(one.clients)),
    make("td", { className: "num" }, count(one.refused)),
  ]);
  return [
    make("h2", {}, phrase("console.shared")),
    all.length ? rows : make("p", { className: "soft" }, phrase("console.none")),
  ];
}
