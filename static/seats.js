// @ts-check
// Seats and checkout: from the admission to a confirmed order, with a way out of everything that can go wrong.
import { $, call as send, clock, keep, kept, locale, newKey, now, onWake, phrase, root } from "./api.js";
import { showEnding, takeMoreTime } from "./ending.js";
import { showEvent } from "./event.js";
import { loadCurrencies } from "./money.js";
import { categoryOptions, legend, showHelp } from "./legend.js";
import { LiveSeats, fetchSeats } from "./live-seats.js";
import { SeatMap } from "./map.js";
import { MapCard } from "./map-card.js";
import { sectionParts } from "./map-sections.js";
import { CardForm, declined } from "./payment.js";
import { explain } from "./explain.js";
import { inLanguage } from "./language.js";
import { placeOrder } from "./ordering.js";
import { showPrice } from "./price.js";
import { freePlaces, placeOf, seatList, seatParts, seatState } from "./seat-list.js";
import { AVAILABLE, states } from "./seat-states.js";
import { ASK_AGAIN_MS, enter, findUnfinished, unlessUnused } from "./session.js";
import { showClock, showKept, showOver, showStep } from "./steps.js";
import { TicketTypes, placeBasket } from "./ticket-types.js";

const event = document.body.dataset.event || "";
const base = `/api/v1/events/${event}`;
/** Whether an organiser looks at the seats of a sale without having a turn. */
const isPreview = new URLSearchParams(location.search).has("preview");
/** @type {SeatMap} */ let map;
/** @type {LiveSeats} */ let live;
/** @type {any} */ let layout;
/** @type {any} */ let session = null;
/** @type {any} */ let hold = null;
/** @type {any} */ let order = null;
/** @type {Set<string>} */ const chosen = new Set();
let holdKey = newKey(),
  orderKey = newKey();
const unfinished = `checkout-${event}`,
  sessionWord = `session-${event}`;
/** The word of the session, where the browser does not send our cookies back. */
let bearer = kept(sessionWord);

/** @type {typeof send} */
const call = (method, path, options = {}) => send(method, path, { bearer, ...options });

const show = (/** @type {string} */ id, /** @type {boolean} */ is) => {
  $(id).hidden = !is;
};
const say = (/** @type {string} */ text) => {
  $("live").textContent = text;
};

/** Says what fans ask of a seat, of an area, or of a section. @param {any} at */
const partsOf = (at) =>
  at.section
    ? sectionParts(at.section)
    : seatParts(
        at,
        layout,
        at.id
          ? seatState(chosen.has(at.id) ? "chosen" : states[at.state])
          : phrase("seats.free", { count: map.free(at.area) }),
      );
/** @param {any} at */
const describe = (at) => partsOf(at).join(", ");

/** Says where the seat of an id is. @param {string} id */
const nameOf = (id) => (map?.byId.has(id) ? placeOf(map.byId.get(id)) : id);

const types = new TicketTypes(event, { call, onChange: () => render(), fail: (problem) => fail(problem) });

/** @param {any} problem */
function fail(problem) {
  $("problem").textContent = problem ? (typeof problem === "string" ? problem : explain(problem, nameOf)) : "";
  show("problem", Boolean(problem));
  if (!problem) return;
  $("shop").removeAttribute("aria-busy");
  $("problem").scrollIntoView({ block: "nearest" });
}

/** Says since when nothing was heard of the seats. @param {number | null} since */
function tellSilence(since) {
  const at = new Date(since ?? 0).toLocaleTimeString(locale);
  $("silence").textContent = since ? phrase("seats.silence", { time: at }) : "";
  show("silence", since !== null);
}

function remember() {
  keep(unfinished, hold || order ? JSON.stringify({ hold: hold?.id, order: order?.id }) : null);
}

function render() {
  const state = order?.state;
  const seats =
    order?.seats ??
    types.of(hold)?.seats ??
    [...chosen].map((id) => {
      const seat = map.byId.get(id);
      return types.seat(id, placeOf(seat), layout.categories[seat.category]);
    });
  showPrice(order ?? types.of(hold), seats, layout, order ? null : (seat) => types.picker(seat));
  placeBasket(Boolean(hold && !order && $("chosen").querySelector("select")));
  show("empty", !seats.length);
  show("total-line", seats.length > 0);
  show("hold", !hold && chosen.size > 0);
  show("release", Boolean(hold) && (!order || ["paying", "declined"].includes(state)));
  show("buyer", Boolean(hold) && !order);
  const isOpen = ["paying", "declined"].includes(state);
  show("payment", isOpen && order.payment.provider === "simulated");
  show("stripe-payment", isOpen && order.payment.provider === "stripe" && !isPaid());
  if (isOpen && order.payment.provider === "stripe") cardForm.show(order.payment.client_secret).catch(fail);
  show("razorpay-payment", isOpen && order.payment.provider === "razorpay" && !isPaid());
  $("pay-razorpay").disabled = !order?.payment.order_id;
  show("provider-away", isOpen && !isPaid() && isUnoffered());
  show("ordering", false);
  show("confirming", state === "confirming");
  show("awaited", isAwaited());
  show("in-review", state === "needs_review");
  showStep(hold, order, seats.length);
  showOver(Boolean(session?.over) && !hold && !order);
  if (state === "declined" && !isPaid()) fail(declined(order.decline_reason));
  map.mine = new Set(seats.map((/** @type {any} */ seat) => seat.id));
  draw();
  remember();
}

/** Shows the seats as they are, on the map and in the open parts of the list. */
function draw() {
  map.changed();
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ ($("list").querySelectorAll("[data-seat]"))) {
    const seat = map.byId.get(button.dataset.seat);
    button.disabled = seat.state !== AVAILABLE;
    button.hidden = !map.isShown(seat);
    button.setAttribute("aria-pressed", String(chosen.has(seat.id)));
    button.setAttribute("aria-label", describe(seat));
  }
}

/** @param {any} seat */
function choose(seat) {
  if (isPreview) return say(describe(seat));
  if (hold) return say(phrase("seats.release_first"));
  if (chosen.has(seat.id)) chosen.delete(seat.id);
  else if (seat.state === AVAILABLE) chosen.add(seat.id);
  else return say(phrase("seats.is", { place: placeOf(seat), state: seatState(states[seat.state]) }));
  fail(null);
  say(describe(seat));
  render();
}

/** @param {any} wish */
async function take(wish) {
  fail(null);
  try {
    hold = await call("POST", `${base}/holds`, { body: wish, key: holdKey });
    holdKey = newKey();
    chosen.clear();
    await types.price(hold);
    render();
    say(phrase("seats.held_for_you", { count: hold.seats.length }));
    ($("chosen").querySelector("select") ?? $("buyer-name")).focus();
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    if (p.status) holdKey = newKey();
    for (const id of p.body?.taken || []) chosen.delete(id);
    await live.refresh().catch(() => live.catchUp());
    render();
    fail(p);
    if (["session-over", "no-session"].includes(p.kind)) lookAgain();
  }
}

/** Holds free places of an area. @param {any} area @param {number} quantity */
function takePlaces(area, quantity) {
  if (hold) return say(phrase("seats.release_first"));
  const places = freePlaces(map.seats, area, quantity);
  if (!places) return fail(phrase("seats.too_few_places"));
  take({ seats: places });
}

async function giveBack() {
  fail(null);
  try {
    await call("DELETE", `/api/v1/holds/${hold.id}`);
    drop();
  } catch (problem) {
    fail(problem);
  }
}

function drop() {
  hold = order = null;
  types.forget();
  orderKey = newKey();
  render();
}

/** @param {Event} submit */
async function makeOrder(submit) {
  submit.preventDefault();
  fail(null);
  try {
    const buyer = { name: $("buyer-name").value, email: $("buyer-email").value };
    order = await placeOrder(call, { hold: hold.id, buyer, ...types.order(hold) }, orderKey, () =>
      show("ordering", true),
    );
    // One that costs nothing is confirmed already; what the provider tells may come later.
    if (order.payment.provider !== "simulated") return follow();
    render();
    $("card").focus();
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    if (["hold-over", "no-such-hold"].includes(p.kind)) drop();
    if (p.kind === "hold-converted") order = await call("GET", `/api/v1/orders/${p.body.order}`);
    // Whether an accepted order was made is told by the same key.
    if (p.kind !== "no-such-order") orderKey = newKey();
    if (hold) await types.refused(hold, p.kind);
    render();
    fail(p);
  }
}

/** @param {Event} submit */
async function pay(submit) {
  submit.preventDefault();
  fail(null);
  $("pay").disabled = true;
  let limit = null;
  try {
    order = await call("POST", `/api/v1/payments/simulated/${order.payment.id}`, {
      body: { card: $("card").value.replace(/\s/g, "") },
    });
    if (order.state === "declined") $("card").select();
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    // The order knows what happened.
    order = await call("GET", `/api/v1/orders/${order.id}`).catch(() => order);
    if (p.kind.startsWith("too-many-")) limit = p;
    else if (p.status !== 409) fail(p);
  }
  $("pay").disabled = false;
  await follow();
  // In place of advice to try another card.
  if (limit) fail(limit);
}

const cardForm = new CardForm($("stripe-form"), $("pay-stripe"), document.body.dataset);

/** The payment that the fan has paid, or was declined: the order may not know of it yet. */
let paid = "";
const isPaid = () => order?.payment.id === paid && ["paying", "declined"].includes(order.state);

/** Lets the fan pay in the provider's form. @param {Event} submit */
async function payAtProvider(submit) {
  submit.preventDefault();
  fail(null);
  const { id, provider } = order.payment;
  const byRazorpay = () => import("./razorpay.js").then((window) => window.payByRazorpay(order, call));
  const problem = await (provider === "stripe" ? cardForm.pay() : byRazorpay().catch(explain));
  fail(problem);
  paid = problem ? "" : id;
  order = await call("GET", `/api/v1/orders/${order.id}`).catch(() => order);
  await follow();
}

/** @type {number | undefined} */
let following;
/** Whether the order's page was asked for: a second request would abort the first. */
let isLeaving = false;
addEventListener("pageshow", () => {
  isLeaving = false;
});
async function follow() {
  if (isLeaving) return;
  if (order?.state === "confirmed") {
    isLeaving = true;
    clearTimeout(following);
    keep(unfinished, null);
    location.href = inLanguage(root + (order.link || `/orders/${order.id}`));
    return;
  }
  if (["expired", "cancelled", "refunding", "refunded"].includes(order?.state) && !isAwaited()) {
    const { event_cancelled: cancelled } = order;
    drop();
    if (cancelled) return tellCancelled({ cancelled });
    fail(phrase("seats.pay_over"));
    return;
  }
  clearTimeout(following);
  render();
  show("confirming", order?.state === "confirming" || isPaid());
  if (isPaid() || isUnoffered() || isWaiting())
    following = setTimeout(async () => {
      order = await call("GET", `/api/v1/orders/${order.id}`).catch(() => order);
      follow();
    }, 2000);
}

/** Returns whether the payment provider has not told yet what to pay with. */
function isUnoffered() {
  const { provider, client_secret, order_id } = order?.payment ?? {};
  return (provider === "stripe" && !client_secret) || (provider === "razorpay" && !order_id);
}

/** Returns whether the money for an order that expired may still come: then the order may yet be confirmed. */
const isAwaited = () => order?.state === "expired" && order.payment.pending;
/** Returns whether the fan has nothing to do but wait. */
const isWaiting = () => ["confirming", "needs_review"].includes(order?.state) || isAwaited();

/** Gives up a chosen seat that another fan has now. @param {string} id */
function lose(id) {
  chosen.delete(id);
  render();
  fail(phrase("seats.lost", { place: nameOf(id) }));
}

/** Gives up the chosen seats that are gone, and shows all as they are. */
function seatsChanged() {
  for (const id of chosen) if (map.byId.get(id).state !== AVAILABLE) lose(id);
  draw();
}

/** Says that the show was cancelled, if it was. @param {any} of the layout, or an order of it */
function tellCancelled({ cancelled }) {
  if (cancelled) fail(phrase("event.cancelled", { reason: cancelled.reason }));
}

/** Loads the page again if the seating plan is another one than it shows. What is held has its price: its forms stay. */
async function reloadIfReplaced() {
  const found = await call("GET", `${base}/seating`, { cache: "no-cache" }).catch(() => layout);
  if (found.cancelled) {
    layout.cancelled = found.cancelled;
    tellCancelled(layout);
    return lookAgain();
  }
  if (hold || order) return;
  if (JSON.stringify(found) !== JSON.stringify(layout)) location.reload();
}

let askedAt = -Infinity;

function tick() {
  const left = (/** @type {string} */ at) => (Date.parse(at) - now()) / 1000;
  const until = order ? order.pay_by : hold?.expires_at;
  const seconds = until ? left(until) : Infinity;
  const keptUntil = !order && seconds < 0 && left(hold.kept_until) > 0 ? hold.kept_until : null;
  showKept(keptUntil);
  if (isWaiting() || session.over) showClock("", Infinity, say);
  else if (keptUntil) showClock("seats.clock.kept", left(keptUntil), say);
  else if (until) showClock("seats.clock.held", seconds, say);
  else showClock("seats.clock.session", left(session.expires_at), () => {});
  showEnding(session, order ? 0 : left(session.expires_at), hold, say);
  const seemsOver = (seconds < 0 && !isWaiting()) || (session && !session.over && left(session.expires_at) < 0);
  if (seemsOver && performance.now() - askedAt > ASK_AGAIN_MS) lookAgain();
}

/** Asks how things are. Only the server, no clock here, decides whether a hold, an order or the session is over. */
async function lookAgain() {
  askedAt = performance.now();
  const missing = (/** @type {any} */ problem) => ([401, 404].includes(problem.status) ? { state: "expired" } : null);
  session = await call("GET", `${base}/sessions`).catch((problem) =>
    problem.status === 401 ? { ...session, over: true } : session,
  );
  if (order) {
    const asked = order.id,
      is = await call("GET", `/api/v1/orders/${asked}`).catch(() => null);
    if (is && order?.id === asked) {
      order = is;
      await follow();
    }
  } else if (hold) {
    const asked = hold.id,
      is = await call("GET", `/api/v1/holds/${asked}`).catch(missing);
    if (!is || order || hold?.id !== asked) return;
    hold = is;
    if (is.state !== "active") {
      drop();
      fail(phrase("refusal.hold-over"));
      tellCancelled(layout);
      live.catchUp();
    }
  } else if (session?.over) render();
}

async function begin() {
  // Open to anyone, so that they need not wait for the session.
  const seats = unlessUnused(fetchSeats(call, base));
  const plan = unlessUnused(
    Promise.all([
      call("GET", `${base}/seating`, { cache: "no-cache" }),
      call("GET", base).catch((problem) => (isPreview ? Promise.reject(problem) : { name: event })),
      loadCurrencies(),
    ]),
  );
  if (!isPreview) {
    const entered = await enter(call, event, fail);
    if (!entered) return location.assign(inLanguage(`${root}/e/${event}`));
    session = entered.session;
    if (entered.bearer !== undefined) keep(sessionWord, (bearer = entered.bearer));
  }
  const [seating, about] = await plan;
  layout = types.layout = seating;
  showEvent(about);
  document.title = `${phrase("seats.title")} · ${about.name}`;
  $("legend").replaceChildren(
    ...legend(layout, (categories) => {
      map.show(categories);
      draw();
    }),
  );
  $("category").append(...categoryOptions(layout));
  // All is there that would move the rest.
  $("shop").removeAttribute("aria-busy");
  const card = new MapCard($("map-card"));
  const looks = {
    onChoose: choose,
    say,
    describe,
    onPoint: (/** @type {any} */ at, /** @type {number} */ x, /** @type {number} */ y) =>
      card.show(at && partsOf(at), x, y),
    onLevel: showHelp,
    onArea(/** @type {any} */ area) {
      $("category").value = layout.categories[area.category].id;
      $("quantity").focus();
      say(phrase("seats.area", { area: area.name }));
    },
  };
  map = new SeatMap($("map"), layout, looks, $("map-mini"));
  const hooks = { onChange: seatsChanged, onReplaced: reloadIfReplaced, onSilence: tellSilence };
  live = new LiveSeats(() => fetchSeats(call, base), map, hooks);
  await live.refresh(seats);
  if (!isPreview) await resume();
  render();
  tellCancelled(layout);
  // Until now there was nothing for them to work on.
  for (const button of document.querySelectorAll(`.tools button${isPreview ? "" : ", #best button, #leave"}`))
    /** @type {HTMLButtonElement} */ (button).disabled = false;
  live.watch(`${base}/seats/ws`);
  if (isPreview) return void ($("clock").textContent = phrase("seats.preview"));
  setInterval(tick, 500);
  onWake(() => {
    lookAgain();
    live.catchUp();
  });
}

/** After a reload, and in another tab: the hold and the order are where they were. */
async function resume() {
  const before = JSON.parse(kept(unfinished) || "{}");
  if (before.hold) hold = await call("GET", `/api/v1/holds/${before.hold}`).catch(() => null);
  if (before.order) order = await call("GET", `/api/v1/orders/${before.order}`).catch(() => null);
  if (hold && !order && hold.state !== "active") hold = null;
  if (!hold && !order) [hold, order] = await findUnfinished(call, event);
  if (hold && !order) await types.price(hold);
  if (order) await follow();
}

for (const id of ["hold", "bottom-hold"]) $(id).addEventListener("click", () => take({ seats: [...chosen] }));
$("best").addEventListener("submit", (/** @type {Event} */ submit) => {
  submit.preventDefault();
  const category = $("category").value;
  take({ best_available: { quantity: Number($("quantity").value), ...(category ? { category } : {}) } });
});
$("release").addEventListener("click", giveBack);
$("more-time").addEventListener("click", async () => {
  fail(null);
  try {
    session = await takeMoreTime(call, base);
    tick();
    say(phrase("seats.more_time", { time: clock((Date.parse(session.expires_at) - now()) / 1000) }));
  } catch (problem) {
    fail(problem);
    lookAgain();
  }
});
$("buyer").addEventListener("submit", makeOrder);
$("payment").addEventListener("submit", pay);
for (const form of ["stripe-payment", "razorpay-payment"]) $(form).addEventListener("submit", payAtProvider);
$("zoom-in").addEventListener("click", () => map.zoom(1.4));
$("zoom-out").addEventListener("click", () => map.zoom(1 / 1.4));
$("fit").addEventListener("click", () => map.fit());
$("as-list").addEventListener("click", () => {
  const on = $("list").hidden;
  if (on)
    $("list").replaceChildren(...seatList(layout, map.seats, { onChoose: choose, onArea: takePlaces, onOpen: draw }));
  show("list", on);
  show("map-box", !on);
  $("as-list").setAttribute("aria-pressed", String(on));
});
$("leave").addEventListener("click", async () => {
  if (!confirm(phrase("seats.leave"))) return;
  try {
    await call("DELETE", `${base}/sessions`);
  } catch (problem) {
    // A session that is over has been left.
    if (![401, 403, 404, 410].includes(/** @type {any} */ (problem).status)) return fail(problem);
  }
  keep(unfinished, null);
  keep(sessionWord, null);
  location.href = inLanguage(`${root}/e/${event}`);
});
begin().catch(fail);
