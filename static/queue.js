// @ts-check
// The queue page, live: by WebSocket or by polling. Without this file it works by refresh.
import { $, call, clock, count, keep, kept, keptKey, now, onWake, optional, root, socket } from "./api.js";

/** By phase or state; the server reads them here. @type {Record<string, [string, string, string]>} */
const texts = JSON.parse(`{
  "scheduled": ["The line is not open yet", "Come back when it opens.", ""],
  "draft": ["A draft", "Fans do not see this event yet. Publish it in the console when it is ready.", ""],
  "sold_out": ["Sold out", "The line is closed to new visitors.", ""],
  "closed": ["The sale is over", "The line is closed to new visitors.", ""],
  "cancelled": ["This show was cancelled", "The line is closed, and every order is refunded.", ""],
  "admitted": ["It is your turn", "", "Come and choose your seats. They are held for you while you pay."],
  "shopping": ["You are in the checkout", "Another tab may have it open.", "Go back to the checkout to finish."],
  "finished": [
    "All done",
    "Thank you. Your slot has gone to the next in line.",
    "You can join again at the back for more."
  ],
  "missed": [
    "Your turn has passed",
    "It ran out, or you were away too long.",
    "You can join again; you will be at the back."
  ],
  "left": ["You have left the line", "Your place has gone.", "You can join again; you will be at the back."],
  "passthrough": ["No need to wait", "Everyone may go on at the moment.", ""],
  "ejected": [
    "You were removed from the line",
    "The organiser did this.",
    "Ask the organiser if it is a mistake."
  ]
}`);

const event = document.body.dataset.event || "";
const base = `/api/v1/events/${event}/line`;
const title = document.title.split(" · ").pop() || "";
/** @type {any} */
let place = null;
let start = Number(kept(`start-${event}`)) || 0;
let announced = "",
  socketState = "",
  offlineSince = 0,
  heardAt = 0,
  isAway = false,
  isJoining = false,
  isAsking = false,
  asksAgain = false;
/** The pass of the newest answer, for a browser that does not send our cookie back. */
let pass = kept(`pass-${event}`);
let isByPass = pass !== null;
/** Whether the newest answer over HTTP was of the turn. It sets the cookie by which a gate lets the fan pass. */
let isLetIn = false;
/** @type {number | undefined} */
let poll;
/** @type {number | undefined} */
let joinAgain;
/** @type {{end: () => void} | undefined} */
let live;

const show = (/** @type {string} */ id, /** @type {boolean} */ is) => {
  $(id).hidden = !is;
};

/** Writes dates. Loaded where one is shown, which is before the sale. @type {typeof import("./dates.js") | undefined} */
let dates;
async function loadDates() {
  dates ??= await import("./dates.js").catch(() => undefined);
}
if (["prequeue", "scheduled"].includes(document.body.dataset.phase || "")) loadDates();

/** When something opens, in the event's zone. @param {string} at */
const opening = (at) => (dates ? `on ${dates.when(at, document.body.dataset.zone)}` : "soon");

/** @param {number} seconds */
function minutes(seconds) {
  return seconds < 90 ? `${Math.max(10, Math.ceil(seconds / 10) * 10)} s` : `${Math.round(seconds / 60)} min`;
}

/** Why no wait is told, or a longer one. @type {Record<string, string>} */
const reasons = {
  measuring: "being measured",
  stopped: "no one is let in now",
  full: "all is taken inside",
  recovering: "it goes on in a moment",
  lowered: "fewer are let in than before",
  slower: "those inside take longer",
};

/** The wait, and why it is longer or not told. @param {any} p @returns {[string, string]} */
function wait(p) {
  const reason = reasons[p.eta_reason] ?? "";
  if (p.phase !== "open") return ["", ""];
  if (!p.eta_seconds) return ["", `Wait: ${reason || "–"}`];
  const [low, high] = [minutes(p.eta_seconds.low), minutes(p.eta_seconds.high)];
  const [number, unit] = low.split(" ");
  return [low === high ? `about ${high}` : `${high.endsWith(unit) ? number : low} to ${high}`, reason];
}

/** Returns whether a fan without a turn may go on as well. @param {any} p */
const isOpen = (p) =>
  Boolean(p.passthrough && (document.body.dataset.return || p.checkout_url)) &&
  !["admitted", "shopping"].includes(p.state);

/** Returns heading, text, next step. @param {any} p @returns {[string, string, string]} */
function words(p) {
  if (p.cancelled) return texts.cancelled;
  if (isOpen(p)) return texts.passthrough;
  const sale = p.sale_opens_at ? opening(p.sale_opens_at) : "";
  if (p.state === "waiting") {
    const first = p.phase === "prequeue" ? "You are first in line" : "You are next";
    const heading = p.ahead === 0 ? first : `${count(p.ahead)} ahead of you`;
    if (p.number === null && p.phase === "prequeue")
      return [
        `${count(p.waiting)} in line`,
        `The sale opens ${sale}. Then everyone in line is shuffled once.`,
        "It makes no difference how early you came: your number is drawn when the sale opens, and anyone can check " +
          "the draw. Keep this page open, or come back to it.",
      ];
    if (p.number === null)
      return [
        "The draw is being held",
        "Your number comes in a moment.",
        "Everyone in line is shuffled once. Keep this page open.",
      ];
    if (p.phase === "prequeue")
      return [
        heading,
        `The sale opens ${sale}. You are in line already.`,
        "When the sale opens, everyone is let in by number. Keep this page open, or come back to it.",
      ];
    if (p.phase === "paused")
      return [
        heading,
        "The line is paused for the moment. No one can pass you.",
        "The organiser will go on shortly. You need to do nothing.",
      ];
    if (p.phase === "sold_out")
      return [
        "Everything is taken",
        "You keep your place in case seats come back.",
        "Seats come back when a payment fails or an order is refunded. If that happens, the first in line are let in.",
      ];
    if (p.phase === "closed") return ["The sale is over", "No one else is let in.", "Thank you for waiting with us."];
    return [
      heading,
      "You are moving up. This page is live; leave it open.",
      "When it is your turn, this page tells you, and you have a short while to go to the checkout.",
    ];
  }
  return texts[p.state] || ["", "", ""];
}

/** Tells screen readers at thresholds, not with every step. @param {any} p @param {string} heading */
function announce(p, heading) {
  const steps = [10, 25, 50, 100, 250, 500, 1000, 5000, 10000, 50000];
  const step = p.state === "waiting" ? (steps.find((s) => p.ahead <= s) ?? "far") : "";
  const now = `${p.state}-${p.phase}-${step}`;
  if (now === announced) return;
  announced = now;
  $("live").textContent = p.state === "waiting" && p.eta_seconds ? `${heading}. Wait: ${wait(p).join(" ")}.` : heading;
}

/** Shows a place: first what every browser can. @param {any} next */
function render(next) {
  const was = place?.state,
    card = $("place");
  // The turn comes without a jump of what is below.
  card.style.minHeight = next.state === "admitted" ? card.style.minHeight || `${card.offsetHeight}px` : "";
  place = next;
  if (place.phase === "prequeue" && !dates) loadDates().then(() => dates && render(place));
  const [heading, text, then] = words(place);
  const open = isOpen(place),
    waits = place.state === "waiting" && !open,
    turn = place.state === "admitted",
    [eta, reason] = waits ? wait(place) : ["", ""];
  // In its turn a fan reads no wait, and the heading stays where it is.
  show("eta", Boolean(eta) || (turn && !$("eta").hidden));
  $("eta").style.visibility = turn ? "hidden" : "";
  if (!turn) $("eta").textContent = eta;
  show("reason", Boolean(reason));
  $("reason").textContent = reason;
  $("heading").textContent = heading;
  $("text").textContent = text;
  $("next").textContent = then;
  card.classList.toggle("turn", turn);
  show("facts", waits);
  show("progress", waits && place.phase !== "prequeue");
  show("leave", waits || turn);
  show("go", turn || open || place.state === "shopping");
  $("go").style.visibility = turn && !isLetIn && !open ? "hidden" : "";
  show("join", !open && ["finished", "missed", "left"].includes(place.state));
  show("message", Boolean(place.message));
  $("message").textContent = place.message || "";
  const own = place.checkout_url === `/e/${event}/seats` ? root : "";
  const goal = document.body.dataset.return || (place.checkout_url && own + place.checkout_url);
  if (goal) $("go").setAttribute("href", goal);
  if (waits) {
    $("number").textContent = place.number ? count(place.number) : "drawn at the opening";
    show("drawn", Boolean(place.entry));
    $("entry").textContent = place.entry || "";
    $("waiting").textContent = count(place.waiting);
    show("seats-box", place.seats_available !== null);
    $("seats").textContent = count(place.seats_available ?? 0);
  }
  document.title = waits ? `${heading} · ${title}` : `${turn ? "▶ " : ""}${heading} · ${title}`;
  announce(place, heading);
  tick();
  if (isByPass)
    import("./cookies.js").then(
      (cookies) => cookies.warn(event),
      () => {},
    );
  else show("cookies", false);
  progress(waits);
  show("alert", waits && canNotify());
  if (turn && was && was !== "admitted")
    import("./alert.js").then(
      (alert) => alert.callOut(title),
      () => {},
    );
}

/** @param {boolean} waits */
function progress(waits) {
  start = waits ? Math.max(start, place.ahead) : 0;
  keep(`start-${event}`, start ? String(start) : null);
  if (!waits) return;
  const done = start ? Math.round((1 - place.ahead / start) * 100) : 100;
  $("fill").style.width = `${done}%`;
  $("began").textContent = start ? `You came with ${count(start)} ahead` : "";
  $("track").setAttribute("aria-valuenow", String(done));
}

/** @type {boolean | undefined} */
let hasNotifications;
/** Returns whether to offer a notification. Android's constructor throws; elsewhere it shows nothing yet. */
const canNotify = () =>
  optional(
    () =>
      Notification.permission === "default" &&
      (hasNotifications ??= optional(() => Boolean(new Notification(""))) ?? false),
  ) ?? false;

/** When the line opens, as far as a fan without a place was told. @type {string | null} */
let opens = null;

/** Counts down to what opens next: the line, or the sale. */
function countDown() {
  const at = place ? place.phase === "prequeue" && place.sale_opens_at : opens;
  const left = at ? (Date.parse(at) - now()) / 1000 : 0;
  const text = dates && left > 0 ? `Opens in ${dates.span(left)}` : "";
  show("countdown", Boolean(text));
  $("countdown").textContent = text;
}

function tick() {
  countDown();
  if (place?.state === "admitted") {
    const left = (Date.parse(place.claim_by) - now()) / 1000;
    $("text").textContent =
      left > 0 ? `Come within ${clock(left)}, or your turn goes to the next in line.` : "Your turn is running out.";
  }
  const offline = offlineSince ? performance.now() - offlineSince : 0;
  const lost = socketState === "closed" && offline > 1500;
  // The server answers, the line behind it does not.
  const stale = socketState !== "4001" && (lost ? isAway : place?.stale);
  $("connection").classList.toggle("stale", Boolean(lost || stale));
  show("connection", ["waiting", "admitted"].includes(place?.state));
  $("connection").textContent = stale
    ? "We cannot reach the line at the moment. Your place is kept; this page goes on by itself."
    : lost
      ? `The connection dropped. Your place is kept; trying again since ${clock(offline / 1000)}.`
      : socketState === "4001"
        ? "Your place is open in several tabs or devices already. This one shows it a little later."
        : `Live · updated ${Math.round((performance.now() - heardAt) / 1000)} s ago`;
}

/** Takes the pass of an answer; the tab keeps it where the browser keeps no cookie. @param {any} answer */
function learn(answer) {
  heardAt = performance.now();
  pass = answer.pass ?? pass;
  isLetIn = answer.state === "admitted";
  keep(`pass-${event}`, isByPass ? pass : null);
  return answer;
}

/** Asks for the place: by the cookie, or by the pass where the cookie does not come back. */
async function look() {
  const answer = () => call("GET", `${base}/me`, { bearer: isByPass ? pass : null });
  try {
    return learn(await answer());
  } catch (problem) {
    if (/** @type {any} */ (problem).status !== 401 || !pass) throw problem;
    isByPass = !isByPass;
    return learn(await answer());
  }
}

async function ask() {
  // An answer that is under way may be from before the turn, and without its cookie.
  asksAgain = isAsking;
  if (isAsking) return;
  isAsking = true;
  let after = 5,
    hasFailed = false;
  try {
    render(await look());
    after = place.poll_after_seconds;
    offlineSince = 0;
    isAway = false;
  } catch (problem) {
    const status = /** @type {any} */ (problem).status;
    if (status === 401) return forget();
    hasFailed = true;
    offlineSince ||= performance.now();
    isAway = status === 503;
    socketState ||= "closed";
  } finally {
    isAsking = false;
  }
  // The turn must be seen in every tab, but no tab needs to be live but one.
  if (socketState === "4001") after = Math.max(after, 15);
  if (asksAgain && !hasFailed) return ask();
  clearTimeout(poll);
  if (hasFailed || socketState !== "open") poll = setTimeout(ask, after * 1000);
}

/** The server knows no such place any more. Only the fan joins again: a page could do so for ever. */
function forget() {
  live?.end();
  clearTimeout(poll);
  place = null;
  for (const id of ["eta", "reason", "facts", "progress", "leave", "go", "cookies", "alert"]) show(id, false);
  show("join", true);
  $("heading").textContent = $("live").textContent = "We cannot find your place";
  $("text").textContent = "You can join the line again.";
  $("next").textContent = "You will be at the back then.";
}

function watch() {
  // Joined again: the new socket is this page's own, not another tab's.
  live?.end();
  live = socket(`${base}/ws`, {
    onMessage(message) {
      heardAt = performance.now();
      if (message.type === "place") {
        const turn = message.state === "admitted" && place?.state !== "admitted";
        const drawn = place && place.number === null && message.number !== null;
        if (drawn) start = 0;
        // The answer over HTTP sets the cookies: the admission, which a gate in front of another site reads, and the
        // pass with the number that was drawn.
        if (turn || drawn) ask();
        render(message);
      }
      if (message.type === "notice") $("live").textContent = message.message;
    },
    onState(state, code) {
      socketState = code === 4001 ? "4001" : state === "open" ? "open" : "closed";
      if (code === 4001) {
        ask();
        return;
      }
      if (state === "open") {
        offlineSince = 0;
        clearTimeout(poll);
        // A socket opens by the cookie alone.
        isByPass = false;
      } else {
        if (state === "closed") offlineSince ||= performance.now();
        if (isByPass) live?.end();
        ask();
      }
    },
  });
}

async function join() {
  if (isJoining) return;
  isJoining = true;
  clearTimeout(joinAgain);
  joinAgain = undefined;
  const tryAgain = (/** @type {number} */ after) => {
    joinAgain = setTimeout(join, after);
  };
  try {
    // However often it is sent, it makes one place.
    const who = isByPass ? { bearer: pass } : { key: keptKey(`join-${event}`) };
    render(learn(await call("POST", base, { body: {}, ...who })));
    watch();
  } catch (problem) {
    const p = /** @type {any} */ (problem);
    show("join", false);
    if (p.kind === "line-not-open") {
      const at = p.body.opens_at;
      await loadDates();
      $("heading").textContent = texts.scheduled[0];
      $("text").textContent = at ? `It opens ${opening(at)}. This page joins by itself then.` : texts.scheduled[1];
      opens = at;
      countDown();
      if (at) tryAgain(Math.min(60000, Math.max(1000, Date.parse(at) - now() + Math.random() * 1500)));
    } else if (p.kind === "line-closed") {
      const { cancelled, message } = await call("GET", `/api/v1/events/${event}`).catch(() => ({}));
      const told = cancelled ? texts.cancelled : texts[p.body.phase] || texts.closed;
      [$("heading").textContent, $("text").textContent] = told;
      if (message) $("message").textContent = message;
      show("message", Boolean($("message").textContent));
      show("then", false);
    } else {
      if (p.status === 401) isByPass = false;
      $("heading").textContent = "One moment";
      $("text").textContent =
        p.kind === "too-many-places"
          ? p.message
          : p.status === 429
            ? "Many people are joining from your network. Trying again shortly."
            : `${p.message}. Trying again shortly.`;
      tryAgain(Math.min(60000, 1000 * (p.retryAfter || 0)) + 3000 + Math.random() * 4000);
    }
  } finally {
    isJoining = false;
  }
}

$("join").addEventListener("submit", (/** @type {Event} */ submit) => {
  submit.preventDefault();
  join();
});
$("leave").addEventListener("submit", async (/** @type {Event} */ submit) => {
  submit.preventDefault();
  if (!confirm("Leave the line? Your place is gone then.")) return;
  await call("DELETE", `${base}/me`, { bearer: isByPass ? pass : null }).catch(() => {});
  ask();
});
$("alert").addEventListener("click", async () => {
  await optional(() => Notification.requestPermission());
  show("alert", false);
});
onWake(() => {
  if (place) ask();
  else if (joinAgain) join();
});
setInterval(tick, 1000);

// A place is kept, whatever fails; without one a fan gets one at once, while seconds matter. A draft has no line.
function enter() {
  const { draft, open, pass: known } = document.body.dataset;
  if (draft) return;
  if (open && !pass && !known) show("go", true);
  else if (pass || known)
    look().then(
      (known) => {
        render(known);
        watch();
      },
      (problem) => (problem.status === 401 ? join() : watch()),
    );
  else join();
}
enter();
