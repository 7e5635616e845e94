// @ts-check
// Seats and checkout: from the admission to a confirmed order, with a way out of everything that can go wrong.
import { $, call as send, clock, keep, kept, newKey, now, onWake, root, socket } from "./api.js";
import { make } from "./make.js";
import { loadCurrencies } from "./money.js";
import { AVAILABLE, SeatMap, hue } from "./map.js";
import { CardForm, declined } from "./payment.js";
import { explain } from "./explain.js";
import { placeOrder } from "./ordering.js";
import { showPrice, ticketPrice, ticketTotal } from "./price.js";
import { placeOf, seatList } from "./seat-list.js";
import { askPlace, findUnfinished, isPassing, openSession, unlessUnused } from "./session.js";
import { showClock, showOver, showStep } from "./steps.js";

const event = document.body.dataset.event || "";
const base = `/api/v1/events/${event}`;
const states = ["available", "held", "booked", "blocked"];
/** @type {SeatMap} */ let map;
/** @type {any} */ let layout;
/** @type {any} */ let session = null;
/** @type {any} */ let hold = null;
/** @type {any} */ let order = null;
/** @type {Set<string>} */ const chosen = new Set();
let version = 0,
  holdKey = newKey(),
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
const price = (/** @type {any} */ seat) => ticketPrice(layout.categories[seat.category]);

/** @param {any} seat */
function describe(seat) {
  const state = chosen.has(seat.id) ? "chosen" : states[seat.state];
  return `${placeOf(seat)}, ${layout.categories[seat.category].name}, ${price(seat)}, ${state}`;
}

/** @param {any} problem */
function fail(problem) {
  $("problem").textContent = problem ? (typeof problem === "string" ? problem : explain(problem)) : "";
  show("problem", Boolean(problem));
  if (problem) $("problem").scrollIntoView({ block: "nearest" });
}

function remember() {
  keep(unfinished, hold || order ? JSON.stringify({ hold: hold?.id, order: order?.id }) : null);
}

function render() {
  const state = order?.state;
  const seats =
    order?.seats ??
    hold?.seats ??
    [...chosen].map((id) => {
      const seat = map.byId.get(id);
      return { id, price: ticketTotal(layout.categories[seat.category]) };
    });
  showPrice(order ?? hold, seats, layout);
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
  map.draw();
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ ($("list").querySelectorAll("[data-seat]"))) {
    const seat = map.byId.get(button.dataset.seat);
    button.disabled = seat.state !== AVAILABLE;
    button.setAttribute("aria-pressed", String(chosen.has(seat.id)));
    button.setAttribute("aria-label", describe(seat));
  }
}

/** @param {any} seat */
function choose(seat) {
  if (hold) return say("Release your seats first to choose others.");
  if (chosen.has(seat.id)) chosen.delete(seat.id);
  else if (seat.state === AVAILABLE) chosen.add(seat.id);
  else return say(`${seat.id} is ${states[seat.state]}`);
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
    render();
    say(`${hold.seats.length} seats are held for you.`);
    $("buyer-name").focus();
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    if (p.status) holdKey = newKey();
    for (const id of p.body?.taken || []) chosen.delete(id);
    await refresh().catch(() => catchUp());
    render();
    fail(p);
  }
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
  orderKey = newKey();
  render();
}

/** @param {Event} submit */
async function makeOrder(submit) {
  submit.preventDefault();
  fail(null);
  try {
    const buyer = { name: $("buyer-name").value, email: $("buyer-email").value };
    order = await placeOrder(call, { hold: hold.id, buyer }, orderKey, () => show("ordering", true));
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
    render();
    fail(p);
  }
}

/** @param {Event} submit */
async function pay(submit) {
  submit.preventDefault();
  fail(null);
  $("pay").disabled = true;
  try {
    order = await call("POST", `/api/v1/payments/simulated/${order.payment.id}`, {
      body: { card: $("card").value.replace(/\s/g, "") },
    });
    if (order.state === "declined") $("card").select();
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    // The order knows what happened.
    order = await call("GET", `/api/v1/orders/${order.id}`).catch(() => order);
    if (p.status !== 409) fail(p);
  }
  $("pay").disabled = false;
  await follow();
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
async function follow() {
  if (order?.state === "confirmed") {
    keep(unfinished, null);
    location.href = root + (order.link || `/orders/${order.id}`);
    return;
  }
  if (["expired", "cancelled", "refunding", "refunded"].includes(order?.state) && !isAwaited()) {
    drop();
    fail("The time to pay ran out and the seats went back. Nothing was charged that is not returned.");
    return;
  }
  clearTimeout(following);
  render();
  show("confirming", order?.state === "confirming" || isPaid());
  const { provider, client_secret, order_id } = order?.payment ?? {};
  const waits = (provider === "stripe" && !client_secret) || (provider === "razorpay" && !order_id);
  if (isPaid() || waits || isWaiting())
    following = setTimeout(async () => {
      order = await call("GET", `/api/v1/orders/${order.id}`).catch(() => order);
      follow();
    }, 2000);
}

/** Returns whether the money for an order that expired may still come: then the order may yet be confirmed. */
const isAwaited = () => order?.state === "expired" && order.payment.pending;
/** Returns whether the fan has nothing to do but wait. */
const isWaiting = () => ["confirming", "needs_review"].includes(order?.state) || isAwaited();

/** Gives up a chosen seat that another fan has now. @param {string} id */
function lose(id) {
  chosen.delete(id);
  render();
  fail(`${id} was just taken by another fan.`);
}

/** Tag of the layout that the states are of. @type {string | null} */
let layoutTag = null;

/** Fetches the states of the seats. */
const fetchSeats = () => call("GET", `${base}/seats?format=bits`, { cache: "no-cache" });

/**
 * Shows the states of the seats; fetches them again soon where a cache on the way had older ones than are known of.
 * @param {Promise<{bits: Uint8Array, version: number, layout: string | null}>} fetched
 */
async function refresh(fetched = fetchSeats()) {
  const { bits, version: at, layout: tag } = await fetched;
  layoutTag ??= tag;
  // The bits of another plan say nothing about the seats of this one.
  if (tag !== layoutTag) return reloadIfReplaced();
  if (at < Math.max(least, version)) return catchUpIn(500);
  version = at;
  map.seats.forEach((seat, i) => {
    seat.state = (bits[i >> 2] >> ((i & 3) * 2)) & 3;
  });
  for (const id of chosen) if (map.byId.get(id).state !== AVAILABLE) lose(id);
  draw();
}

/** Newest version that is known of, and the one timer of the next try: tries must not multiply while the server is away. */
let least = 0,
  nextTry = 0,
  isFetching = false;
const catchUp = () => catchUpIn(0);

/** @param {number} ms */
function catchUpIn(ms) {
  clearTimeout(nextTry);
  nextTry = setTimeout(async () => {
    if (isFetching) return catchUpIn(500);
    isFetching = true;
    await refresh().catch(() => catchUpIn(1500));
    isFetching = false;
  }, ms);
}

function watch() {
  socket(`${base}/seats/ws`, {
    onMessage(message) {
      if (message.type !== "seats" || message.version <= version) return;
      // A socket begins with the version that is shown, not with what led to it.
      if (message.version > version + 1 || !message.changes.length) {
        least = message.version;
        return catchUp();
      }
      version = message.version;
      for (const [id, state] of message.changes) {
        const seat = map.byId.get(id);
        if (!seat) continue;
        seat.state = states.indexOf(state);
        if (seat.state !== AVAILABLE && chosen.has(id)) lose(id);
      }
      draw();
    },
    onState(state, code) {
      if (state === "failed") catchUpIn(1500);
      if (code === 4002) {
        // Another map may count its versions anew. A cache may have the old plan for five seconds.
        version = least = 0;
        for (const ms of [Math.random() * 1000, 6000]) setTimeout(reloadIfReplaced, ms);
      }
    },
  });
}

/** Loads the page again if the seating plan is another one than it shows. What is held has its price: its forms stay. */
async function reloadIfReplaced() {
  if (hold || order) return;
  const found = await call("GET", `${base}/seating`, { cache: "no-cache" }).catch(() => layout);
  if (JSON.stringify(found) !== JSON.stringify(layout)) location.reload();
}

/** Time between two questions about something that seems to be over, in ms. */
const ASK_AGAIN_MS = 2000;
let askedAt = -Infinity;

function tick() {
  const left = (/** @type {string} */ at) => (Date.parse(at) - now()) / 1000;
  const until = order ? order.pay_by : hold?.expires_at;
  const seconds = until ? left(until) : Infinity;
  if (isWaiting() || session.over) showClock("", Infinity, say);
  else if (until) showClock("Held for you for {}", seconds, say);
  else showClock("{} left to shop", left(session.expires_at), say);
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
      fail("Your hold ran out and the seats went back. Choose again.");
      catchUp();
    }
  } else if (session?.over) render();
}

/**
 * Opens the session, or finds it. Asks for it and for the place at the same time: on a slow network each question that
 * waits for an answer costs a second.
 */
async function enter() {
  for (;;) {
    const place = unlessUnused(askPlace(event));
    try {
      const known = await call("GET", `${base}/sessions`).catch((problem) => {
        if (isPassing(problem)) throw problem;
      });
      fail(null);
      if (known && !known.over) {
        session = known;
        return true;
      }
      const opened = await openSession(event, place);
      if (opened) {
        ({ session, bearer } = opened);
        keep(sessionWord, bearer);
        return true;
      }
    } catch (problem) {
      if (isPassing(problem)) {
        fail(problem);
        await new Promise((later) => setTimeout(later, ASK_AGAIN_MS));
        continue;
      }
    }
    // No place, or the turn has passed.
    location.href = `${root}/e/${event}`;
    return false;
  }
}

async function begin() {
  // Open to anyone, so that they need not wait for the session.
  const seats = unlessUnused(fetchSeats());
  const plan = unlessUnused(
    Promise.all([
      call("GET", `${base}/seating`, { cache: "no-cache" }),
      call("GET", base).catch(() => ({ name: event })),
      loadCurrencies(),
    ]),
  );
  if (!(await enter())) return;
  const [seating, about] = await plan;
  layout = seating;
  $("name").textContent = about.name;
  document.title = `Choose your seats · ${about.name}`;
  map = new SeatMap($("map"), layout, {
    onChoose: choose,
    say,
    describe,
    onArea(area) {
      $("category").value = layout.categories[area.category].id;
      $("quantity").focus();
      say(`${area.name}: say how many, then find and hold.`);
    },
  });
  $("legend").replaceChildren(
    ...layout.categories.map((/** @type {any} */ category, /** @type {number} */ at) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = hue(at);
      return make("li", {}, swatch, `${category.name} ${ticketPrice(category)}`);
    }),
    ...[
      ["held", "held by another fan"],
      ["taken", "gone"],
      ["mine", "yours"],
    ].map(([kind, text]) => make("li", {}, make("span", { className: `swatch ${kind}` }), text)),
  );
  $("category").append(
    ...layout.categories.map((/** @type {any} */ c) =>
      make("option", { value: c.id }, `${c.name} · ${ticketPrice(c)}`),
    ),
  );
  await refresh(seats);
  await resume();
  render();
  // Until now there was nothing for them to work on.
  for (const button of document.querySelectorAll(".tools button, #best button, #leave"))
    /** @type {HTMLButtonElement} */ (button).disabled = false;
  watch();
  setInterval(tick, 500);
  onWake(() => {
    lookAgain();
    catchUp();
  });
}

/** After a reload, and in another tab: the hold and the order are where they were. */
async function resume() {
  const before = JSON.parse(kept(unfinished) || "{}");
  if (before.hold) hold = await call("GET", `/api/v1/holds/${before.hold}`).catch(() => null);
  if (before.order) order = await call("GET", `/api/v1/orders/${before.order}`).catch(() => null);
  if (hold && !order && hold.state !== "active") hold = null;
  if (!hold && !order) [hold, order] = await findUnfinished(call, event);
  if (order) await follow();
}

for (const id of ["hold", "bottom-hold"]) $(id).addEventListener("click", () => take({ seats: [...chosen] }));
$("best").addEventListener("submit", (/** @type {Event} */ submit) => {
  submit.preventDefault();
  const category = $("category").value;
  take({ best_available: { quantity: Number($("quantity").value), ...(category ? { category } : {}) } });
});
$("release").addEventListener("click", giveBack);
$("buyer").addEventListener("submit", makeOrder);
$("payment").addEventListener("submit", pay);
for (const form of ["stripe-payment", "razorpay-payment"]) $(form).addEventListener("submit", payAtProvider);
$("zoom-in").addEventListener("click", () => map.zoom(1.4));
$("zoom-out").addEventListener("click", () => map.zoom(1 / 1.4));
$("fit").addEventListener("click", () => map.fit());
$("as-list").addEventListener("click", () => {
  const on = $("list").hidden;
  if (on) $("list").replaceChildren(...seatList(layout, map.seats, choose, draw));
  show("list", on);
  show("map-box", !on);
  $("as-list").setAttribute("aria-pressed", String(on));
});
$("leave").addEventListener("click", async () => {
  if (!confirm("Leave the checkout? Your seats and your slot go to others.")) return;
  await call("DELETE", `${base}/sessions`).catch(() => {});
  keep(unfinished, null);
  keep(sessionWord, null);
  location.href = `${root}/e/${event}`;
});
begin().catch(fail);
