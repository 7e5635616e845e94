// @ts-check
// The organiser's console: sign in, sales, a live dashboard, steering, orders, the audit log.
import { $, call } from "./api.js";
import { make } from "./make.js";
import { loadCurrencies, money } from "./money.js";
import { plot } from "./plot.js";

const api = "/api/v1/organiser";
/** @type {EventSource | undefined} */ let stream;
/** @type {any[]} */ let samples = [];
/** @type {any[]} */ let timers = [];
const say = (/** @type {string} */ text) => { $("live").textContent = text; };
const phases = { scheduled: "not open yet", prequeue: "line open", open: "on sale", paused: "paused", sold_out: "sold out", closed: "closed" };

/** @param {...(Node|string)} inside */
function page(...inside) {
  stream?.close();
  timers.forEach(clearInterval);
  timers = [];
  $("main").replaceChildren(...inside);
  $("main").querySelector("h1")?.setAttribute("tabindex", "-1");
}

/** A form whose submit is awaited, with its refusal shown in place. @param {Record<string, any>} set @param {(form: any) => Promise<string | void>} act @param {...(Node|string)} inside */
function form(set, act, ...inside) {
  const told = make("p", { role: "alert", className: "bad", hidden: true });
  const element = make("form", set, ...inside, told);
  element.addEventListener("submit", async (submit) => {
    submit.preventDefault();
    told.hidden = true;
    try {
      const done = await act(element);
      if (done) { told.className = "good"; told.textContent = done; told.hidden = false; say(done); }
    } catch (problem) {
      const p = /** @type {any} */ (problem);
      if (p.status === 401) return signIn();
      told.className = "bad"; told.textContent = p.message; told.hidden = false;
    }
  });
  return element;
}

/** @param {string} text @param {Record<string, any>} set @param {string} [tag] @param {...(Node|string)} inside */
const field = (text, set, tag = "input", ...inside) => make("label", {}, text, make(tag, set, ...inside));

function signIn() {
  $("nav").hidden = $("sign-out").hidden = true;
  $("who").textContent = "";
  page(form({ className: "card narrow" }, async (f) => {
    await call("POST", `${api}/session`, { body: { key: f.elements.key.value } }).catch((problem) => {
      throw problem.status === 401 ? new Error("There is no such key.") : problem;
    });
    await begin();
  }, make("h1", {}, "Organiser"), make("p", { className: "soft" }, "Sign in with an organiser key. It was printed when Fairline first started."),
  field("Organiser key", { name: "key", type: "password", autocomplete: "current-password", required: true }), make("button", { className: "primary" }, "Sign in")));
}

async function sales() {
  const events = await call("GET", `${api}/events`);
  const open = await call("GET", "/api/v1/events");
  const phase = new Map(open.map((/** @type {any} */ e) => [e.id, e.phase]));
  page(make("div", { className: "heading" }, make("h1", {}, "Sales"), make("a", { className: "button primary end", href: "#/new" }, "New sale")),
    events.length ? make("div", { className: "grid" }, ...events.map((/** @type {any} */ e) => make("section", { className: "card" }, make("h2", {}, make("a", { href: `#/event/${e.id}` }, e.name)),
      make("p", {}, make("span", { className: "pill" }, /** @type {any} */ (phases)[phase.get(e.id)] || ""), ` ${e.admission.rate_per_minute} a minute`), make("a", { href: `/e/${e.id}` }, "Queue page"))))
      : make("p", { className: "soft" }, "No sale yet."));
}

const sample = { categories: [{ id: "stalls", name: "Stalls", price: 6500 }, { id: "standing", name: "Standing", price: 3900 }],
  sections: [{ id: "st", name: "Stalls", category: "stalls", rows: 20, seats_per_row: 30 }], areas: [{ id: "floor", name: "Floor", category: "standing", capacity: 400 }] };

function create() {
  const time = (/** @type {string} */ text, /** @type {string} */ name) => field(text, { name, type: "datetime-local" });
  page(make("h1", {}, "New sale"), form({ className: "card" }, async (f) => {
    const of = (/** @type {string} */ name) => f.elements[name].value.trim();
    const at = (/** @type {string} */ name) => (of(name) ? new Date(of(name)).toISOString() : null);
    const plan = of("plan");
    if (plan) { try { JSON.parse(plan); } catch (error) { throw new Error(`Seating plan: ${/** @type {Error} */ (error).message}`); } }
    const id = of("id");
    await call("POST", `${api}/events`, { body: { id, name: of("name"), order: of("order"), prequeue_opens_at: at("prequeue"), sale_opens_at: at("sale"), closes_at: at("closes"),
      admission: { rate_per_minute: Number(of("rate")), max_active: Number(of("active")) }, checkout_url: of("url") || null } });
    if (plan) await call("PUT", `${api}/events/${id}/seating`, { raw: plan }).catch(async (problem) => {
      await call("DELETE", `${api}/events/${id}`).catch(() => {});
      throw problem;
    });
    location.hash = `#/event/${id}`;
  }, make("div", { className: "grid" },
    make("div", {}, field("Name", { name: "name", required: true, maxLength: 200 }), field("Address: a-z, 0-9 and -", { name: "id", required: true, pattern: "[a-z0-9][a-z0-9\\-]{0,62}" }),
      make("label", {}, "Order", make("select", { name: "order" }, make("option", { value: "fifo" }, "First come, first served"), make("option", { value: "draw" }, "A draw among those in line when the sale opens"))),
      time("The line opens (empty: with the sale)", "prequeue"), time("The sale opens (empty: at once)", "sale"), time("It closes (empty: never)", "closes")),
    make("div", {}, field("Fans a minute", { name: "rate", type: "number", value: 600, min: 0, required: true }), field("Inside at one time, at most", { name: "active", type: "number", value: 500, min: 0, required: true }),
      field("Shop elsewhere (empty: our checkout)", { name: "url", placeholder: "https://…" }), field("Seating plan, ours or pretix's JSON (empty: none)", { name: "plan", value: JSON.stringify(sample, null, 1) }, "textarea"))),
  make("button", { className: "primary" }, "Open the sale")));
}

/** @param {string} id */
async function dashboard(id) {
  const url = `${api}/events/${id}`;
  const settings = await call("GET", url);
  samples = await call("GET", `${url}/history?minutes=60`);
  const tiles = make("div", { className: "tiles" }), plots = make("div", { className: "plots" });
  const pill = make("span", { className: "pill" }), orders = make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Newest orders" });
  const pause = make("button", {}, settings.paused ? "Resume" : "Pause");
  pause.addEventListener("click", async () => {
    settings.paused = (await call("PATCH", url, { body: { paused: !settings.paused } })).paused;
    pause.textContent = settings.paused ? "Resume" : "Pause";
    say(settings.paused ? "Paused" : "Resumed");
  });
  const rates = form({ className: "card" }, async (f) => {
    const admission = { rate_per_minute: Number(f.elements.rate.value), max_active: Number(f.elements.active.value) };
    await call("PATCH", url, { body: { admission } });
    return "Set. It holds from now on.";
  }, make("h2", {}, "Admission"), make("div", { className: "line" }, field("Fans a minute", { name: "rate", type: "number", min: 0, value: settings.admission.rate_per_minute, required: true }),
    field("Inside, at most", { name: "active", type: "number", min: 0, value: settings.admission.max_active, required: true }), make("button", { className: "primary" }, "Set")));
  const message = form({ className: "card" }, async (f) => {
    const text = f.elements.message.value.trim();
    await call("PATCH", url, { body: { message: text || null } });
    return text ? "Everyone in line reads it now." : "The message is taken back.";
  }, make("h2", {}, "Message to everyone"), make("div", { className: "line" }, field("Message (empty takes it back)", { name: "message", value: settings.message || "", maxLength: 500 }), make("button", { className: "primary" }, "Send")));
  const found = make("div");
  const find = form({ className: "card" }, async (f) => {
    const visitor = await call("GET", `${url}/line/${encodeURIComponent(f.elements.visitor.value.trim())}`);
    const eject = make("button", { className: "danger", type: "button", disabled: visitor.state === "ejected" }, "Eject");
    eject.addEventListener("click", async () => {
      if (!confirm(`Eject number ${visitor.number}? They cannot come back with this pass.`)) return;
      await call("DELETE", `${url}/line/${visitor.visitor}`);
      found.replaceChildren(make("p", { className: "good" }, `Number ${visitor.number} was ejected.`));
    });
    found.replaceChildren(make("p", {}, `Number ${visitor.number}: ${visitor.state}, ${visitor.ahead} ahead. `, make("code", {}, visitor.visitor)), eject);
  }, make("h2", {}, "Find a visitor"), make("div", { className: "line" }, field("Number or visitor id", { name: "visitor", required: true }), make("button", {}, "Find")), found);
  page(make("div", { className: "heading" }, make("h1", {}, settings.name), pill, pause, make("a", { href: `/e/${id}`, target: "_blank" }, "Queue page"), make("a", { href: `${url}/history?minutes=240`, target: "_blank" }, "History")),
    tiles, plots, make("div", { className: "grid" }, rates, message, find, make("section", { className: "card wide" }, make("h2", {}, "Newest orders"), orders)));
  let drawn = -Infinity;
  const draw = (/** @type {any} */ now) => {
    pill.textContent = /** @type {any} */ (phases)[now.phase];
    const seats = now.availability;
    const figures = [["waiting", now.waiting], ["on their way", now.admitted], ["shopping", now.shopping], ["admitted a minute", now.per_minute.admitted], ["joined a minute", now.per_minute.joined],
      ["missed a minute", now.per_minute.missed], ["waited, half / most (s)", now.waited_seconds.p50 === null ? "–" : `${now.waited_seconds.p50} / ${now.waited_seconds.p90}`],
      ...(seats ? [["seats available", seats.available], ["held", seats.held], ["booked", `${seats.booked}`]] : [])];
    tiles.replaceChildren(...figures.map(([name, value]) => make("div", { className: "card tile" }, make("b", {}, value.toLocaleString()), make("span", {}, String(name)))));
    samples.push(now);
    if (samples.length > 4000) samples.shift();
    if (performance.now() - drawn < 2000) return;
    drawn = performance.now();
    const line = (/** @type {(s: any) => number} */ of) => thin(samples).map((s) => ({ at: Date.parse(s.at), value: of(s) ?? 0 }));
    const all = [["Waiting", (/** @type {any} */ s) => s.waiting], ["Admitted a minute", (/** @type {any} */ s) => s.per_minute.admitted], ["Shopping", (/** @type {any} */ s) => s.shopping],
      ...(seats ? [["Held", (/** @type {any} */ s) => s.availability?.held], ["Booked", (/** @type {any} */ s) => s.availability?.booked]] : [])];
    plots.replaceChildren(...all.map(([name, of]) => make("section", { className: "card" }, make("h2", {}, /** @type {string} */ (name)), plot(/** @type {string} */ (name), line(/** @type {any} */ (of))))));
  };
  if (samples.length) draw(samples.pop());
  stream = new EventSource(`${url}/stats/stream`);
  stream.onmessage = (event) => draw(JSON.parse(event.data));
  const list = async () => {
    const [newest] = await Promise.all([call("GET", `${url}/orders?limit=50`), loadCurrencies()]).catch(() => [[]]);
    orders.replaceChildren(newest.length ? orderTable(newest, url, list) : make("p", { className: "soft" }, "None yet."));
  };
  await list();
  timers.push(setInterval(list, 5000));
}

/** At most 300 points. @param {any[]} all */
const thin = (all) => { const step = Math.ceil(all.length / 300); return all.filter((_, i) => i % step === 0 || i === all.length - 1); };

/** @param {any[]} orders @param {string} url @param {() => void} again */
function orderTable(orders, url, again) {
  return make("table", {}, make("thead", {}, make("tr", {}, ...["Order", "When", "Who", "Seats", "Total", "State", "Action"].map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, ...orders.map((order) => {
    const refund = make("button", { className: "danger" }, "Refund");
    refund.addEventListener("click", async () => {
      if (!confirm(`Refund ${money(order.total)} to ${order.buyer.name}? The seats go back on sale.`)) return;
      await call("POST", `${url}/orders/${order.id}/refund`).catch((problem) => alert(problem.message));
      again();
    });
    return make("tr", {}, make("td", {}, make("code", {}, order.id.slice(0, 12))), make("td", {}, new Date(order.created_at).toLocaleTimeString()), make("td", {}, order.buyer ? `${order.buyer.name} ${order.buyer.email}` : "–"),
      make("td", {}, order.seats.map((/** @type {any} */ s) => s.id).join(", ")), make("td", { className: "num" }, money(order.total)), make("td", {}, order.state), make("td", {}, ...(order.state === "confirmed" ? [refund] : [])));
  })));
}

async function audit() {
  const entries = await call("GET", `${api}/audit?limit=200`);
  const short = (/** @type {any} */ value) => (value === null ? "" : make("code", {}, JSON.stringify(value).slice(0, 300)));
  page(make("h1", {}, "Audit log"), make("div", { className: "card scroll", tabIndex: 0, role: "region", "aria-label": "Changes" }, make("table", {}, make("thead", {}, make("tr", {}, ...["When", "Who", "What", "Sale", "From", "To"].map((h) => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...entries.map((/** @type {any} */ e) => make("tr", {}, make("td", {}, new Date(e.at).toLocaleString()), make("td", {}, e.by), make("td", {}, e.action), make("td", {}, e.event), make("td", {}, short(e.from)), make("td", {}, short(e.to))))))));
}

async function route() {
  const [, where, id] = location.hash.split("/");
  try {
    if (where === "event") await dashboard(decodeURIComponent(id));
    else if (where === "new") create();
    else if (where === "audit") await audit();
    else await sales();
  } catch (problem) {
    if (/** @type {any} */ (problem).status === 401) return signIn();
    sayFailed(problem);
  }
}

/** @param {any} problem */
const sayFailed = (problem) => page(make("h1", {}, "That did not work"), make("p", { className: "bad", role: "alert" }, problem.message), make("a", { href: "#/" }, "All sales"));

async function begin() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    history.replaceState(null, "", location.pathname);
    await call("POST", `${api}/session`, { body: { code } }).catch(() => {});
  }
  try {
    const me = await call("GET", `${api}/session`);
    $("who").textContent = `${me.name} · ${me.role}`;
    $("nav").hidden = $("sign-out").hidden = false;
    await route();
  } catch { signIn(); }
}

$("sign-out").addEventListener("click", () => call("DELETE", `${api}/session`).then(signIn, sayFailed));
window.addEventListener("hashchange", route);
begin();
