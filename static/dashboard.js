// @ts-check
// The console's page of one sale: live figures and plots, steering, its newest orders.
import { call, locale, root } from "./api.js";
import { api, atEnd, button, field, form, may, page, phases, say, table } from "./console.js";
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
  const trouble = make("p", { className: "note", role: "status", hidden: true });
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
  const orders = make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Newest orders" });
  page(
    make(
      "div",
      { className: "heading above" },
      make("h1", {}, settings.name),
      pill,
      ...(sells
        ? [
            switchButton(url, settings, "paused", ["Pause", "Resume"]),
            switchButton(url, settings, "passthrough", ["Let everyone in", "Bring back the line"]),
          ]
        : []),
      ...(may("admin") ? [switchButton(url, settings, "published", ["Publish", "Back to draft"])] : []),
      make("a", { href: `#/event/${id}/orders` }, "Orders"),
      ...(sells
        ? [
            make("a", { href: `#/event/${id}/desk` }, "Sell at the desk"),
            make("a", { href: `#/event/${id}/seats` }, "Block seats"),
          ]
        : []),
      ...(may("admin")
        ? [
            make("a", { href: `#/event/${id}/plan` }, "Seating plan"),
            make("a", { href: `#/event/${id}/settings` }, "Settings"),
          ]
        : []),
      make("a", { href: `${root}/e/${id}`, target: "_blank" }, "Queue page"),
      make("a", { href: `${root}/e/${id}/seats?preview`, target: "_blank" }, "Seats, as fans see them"),
      ...(steers ? [make("a", { href: `${root}/door/${id}`, target: "_blank" }, "Door")] : []),
      make("a", { href: `${root}${url}/history?minutes=240`, target: "_blank" }, "History"),
      ...(steers || settings.cancelled
        ? [make("a", { href: `#/event/${id}/cancel` }, settings.cancelled ? "Cancelled" : "Cancel the show")]
        : []),
    ),
    ...(settings.cancelled
      ? [make("p", { className: "note" }, `This show was cancelled. ${settings.cancelled.reason}`)]
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
        make("h2", {}, "Newest orders"),
        orders,
        make("p", {}, make("a", { href: `#/event/${id}/orders` }, "Search all orders, export")),
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
    pill.textContent = settings.published ? /** @type {any} */ (phases)[now.phase] : "draft";
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
    const none = make("p", { className: "soft" }, "None yet.");
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
    silence.textContent = `No news from the server since ${since}: the figures are as old as that.`;
    silence.hidden = !is;
  }, 1000);
  atEnd(() => clearInterval(watch));
}

/**
 * A button that turns a setting on and off.
 * @param {string} url @param {any} settings @param {string} name @param {[string, string]} labels
 */
function switchButton(url, settings, name, [turnOn, turnOff]) {
  const label = () => (settings[name] ? turnOff : turnOn);
  return button({}, label(), async (element) => {
    settings[name] = (await call("PATCH", url, { body: { [name]: !settings[name] } }))[name];
    say(`Done. ${label()}?`);
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
      return "Set. It holds from now on.";
    },
    make("h2", {}, "Admission"),
    make(
      "div",
      { className: "line" },
      field("Fans a minute", number("rate", admission.rate_per_minute)),
      field("Inside, at most", number("active", admission.max_active)),
      make("button", { className: "primary" }, "Set"),
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
      return "Saved. Fans read it from now on.";
    },
    make("h2", {}, "Event details"),
    make(
      "div",
      { className: "grid" },
      field("Name", { name: "name", required: true, maxLength: 200, value: settings.name }),
      zoneField(settings.details?.time_zone),
      ...detailFields(settings.details),
    ),
    make("button", { className: "primary" }, "Save"),
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
      return text ? "Everyone in line reads it now." : "The message is taken back.";
    },
    make("h2", {}, "Message to everyone"),
    make(
      "div",
      { className: "line" },
      field("Message (empty takes it back)", { name: "message", value: message || "", maxLength: 500 }),
      make("button", { className: "primary" }, "Send"),
    ),
  );
}

/** Finds a visitor, and ejects them. @param {string} url */
function visitorForm(url) {
  const found = make("div");
  const show = (/** @type {any} */ visitor) => {
    const isEjected = visitor.state === "ejected";
    const eject = button({ className: "danger", disabled: isEjected }, "Eject", async () => {
      if (!confirm(`Eject number ${visitor.number}? They cannot come back with this pass.`)) return;
      await call("DELETE", `${url}/line/${visitor.visitor}`);
      found.replaceChildren(make("p", { className: "good" }, `Number ${visitor.number} was ejected.`));
    });
    const where = `Number ${visitor.number}: ${visitor.state}, ${visitor.ahead} ahead. `;
    found.replaceChildren(make("p", {}, where, make("code", {}, visitor.visitor)), eject);
  };
  return form(
    { className: "card" },
    async (f) => show(await call("GET", `${url}/line/${encodeURIComponent(f.elements.visitor.value.trim())}`)),
    make("h2", {}, "Find a visitor"),
    make(
      "div",
      { className: "line" },
      field("Number or visitor id", { name: "visitor", required: true }),
      make("button", {}, "Find"),
    ),
    found,
  );
}

/** The figures of this moment, as tiles. @param {any} now */
function figures(now) {
  const { availability: seats, per_minute: rates, waited_seconds: waited } = now;
  const all = [
    ["waiting", now.waiting],
    ["on their way", now.admitted],
    ["shopping", now.shopping],
    ["admitted a minute", rates.admitted],
    ["joined a minute", rates.joined],
    ["missed a minute", rates.missed],
    ["waited, half / most (s)", waited.p50 === null ? "–" : `${waited.p50} / ${waited.p90}`],
  ];
  if (seats) all.push(["seats available", seats.available], ["held", seats.held], ["booked", `${seats.booked}`]);
  return all.map(([name, value]) =>
    make(
      "div",
      { className: "card tile" },
      make("b", {}, value.toLocaleString(locale)),
      make("span", {}, String(name)),
    ),
  );
}

/** @param {any[]} samples @param {boolean} hasSeats */
function drawPlots(samples, hasSeats) {
  /** @type {[string, (sample: any) => number | undefined][]} */
  const all = [
    ["Waiting", (s) => s.waiting],
    ["Admitted a minute", (s) => s.per_minute.admitted],
    ["Shopping", (s) => s.shopping],
  ];
  if (hasSeats) all.push(["Held", (s) => s.availability?.held], ["Booked", (s) => s.availability?.booked]);
  const step = Math.ceil(samples.length / POINTS_MAX);
  const shown = samples.filter((_, i) => i % step === 0 || i === samples.length - 1);
  return all.map(([name, of]) => {
    const points = shown.map((s) => ({ at: Date.parse(s.at), value: of(s) ?? 0 }));
    return make("section", { className: "card" }, make("h2", {}, name), plot(name, points));
  });
}

/** Who hands an admission on. @param {any[]} all */
function sharedTable(all) {
  const rows = table(["Number", "Visitor", "Use it", "Refused"], all, (one) => [
    make("td", { className: "num" }, String(one.number)),
    make("td", {}, make("code", {}, one.visitor)),
    make("td", { className: "num" }, String(one.clients)),
    make("td", { className: "num" }, String(one.refused)),
  ]);
  return [make("h2", {}, "Shared admissions"), all.length ? rows : make("p", { className: "soft" }, "None.")];
}
