// @ts-check
// The queue page, live: by WebSocket or by polling. Without this file it works by refresh.
import { $, call, clock, count, keep, kept, keptKey, loadTexts, now, onWake, optional, phrase, socket } from "./api.js";

/** Heading, text and next step of a phase or a state. @param {string} of @returns {[string, string, string]} */
const triple = (of) => [phrase(`later.${of}.heading`), phrase(`later.${of}.text`), phrase(`later.${of}.next`)];

/** @type {Promise<void> | undefined} */
let rare;
/** Loads the texts of what most fans never see. Nothing waits for them for long. */
const loadRare = () => {
  rare ??= loadTexts().catch(() => {
    rare = undefined;
  });
  return Promise.race([rare, new Promise((later) => setTimeout(later, 2000))]);
};

/** Returns whether a place is told in those texts. @param {any} p */
const isRare = (p) =>
  p.cancelled ||
  isOpen(p) ||
  (p.state === "waiting"
    ? !(p.number || phrase("undrawn.text")) || ["sold_out", "closed"].includes(p.phase)
    : p.state !== "admitted");

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
  asksAgain = false,
  renders = 0;
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
  if (!phrase("date.whole")) await loadRare();
  dates ??= await import("./dates.js").catch(() => undefined);
}
if (["prequeue", "scheduled"].includes(document.body.dataset.phase || "")) loadDates();

/** When something opens, in the event's zone. @param {string} at */
const opening = (at) =>
  dates ? phrase("queue.on", { time: dates.when(at, document.body.dataset.zone) }) : phrase("queue.soon");

/** @param {number} seconds */
function minutes(seconds) {
  return seconds < 90 ? `${Math.max(10, Math.ceil(seconds / 10) * 10)} s` : `${Math.round(seconds / 60)} min`;
}

/** The wait, and why it is longer or not told. @param {any} p @returns {[string, string]} */
function wait(p) {
  const reason = phrase(`queue.reason.${p.eta_reason}`);
  if (p.phase !== "open") return ["", ""];
  if (!p.eta_seconds) return ["", phrase("queue.wait", { wait: reason || "–" })];
  const [low, high] = [minutes(p.eta_seconds.low), minutes(p.eta_seconds.high)];
  const [number, unit] = low.split(" ");
  const span = { low: high.endsWith(unit) ? number : low, high };
  return [phrase(low === high ? "queue.about" : "queue.range", span), reason];
}

/** Returns whether a fan without a turn may go on as well. @param {any} p */
const isOpen = (p) =>
  Boolean(p.passthrough && (document.body.dataset.return || p.checkout_url)) &&
  !["admitted", "shopping"].includes(p.state);

/** Returns heading, text, next step. @param {any} p @returns {[string, string, string]} */
function words(p) {
  if (p.cancelled) return triple("cancelled");
  if (isOpen(p)) return triple("passthrough");
  if (p.state === "admitted") return [phrase("queue.admitted.heading"), "", phrase("queue.admitted.next")];
  if (p.state !== "waiting") return triple(p.state);
  const sale = p.sale_opens_at ? opening(p.sale_opens_at) : "";
  const isBefore = p.phase === "prequeue";
  const heading =
    p.ahead > 0 ? phrase("queue.ahead", { count: p.ahead }) : phrase(isBefore ? "queue.first" : "queue.next_up");
  if (p.number === null && isBefore)
    return [
      phrase("undrawn.in_line", { count: p.waiting }),
      phrase("undrawn.text", { opening: sale }),
      phrase("undrawn.next"),
    ];
  if (p.number === null)
    return [phrase("undrawn.drawing.heading"), phrase("undrawn.drawing.text"), phrase("undrawn.drawing.next")];
  if (isBefore) return [heading, phrase("date.before.text", { opening: sale }), phrase("date.before.next")];
  if (p.phase === "paused") return [heading, phrase("queue.paused.text"), phrase("queue.paused.next")];
  if (p.phase === "sold_out") return triple("all_taken");
  if (p.phase === "closed") return triple("ended");
  return [heading, phrase("queue.moving.text"), phrase("queue.moving.next")];
}

/** Tells screen readers at thresholds, not with every step. @param {any} p @param {string} heading */
function announce(p, heading) {
  const steps = [10, 25, 50, 100, 250, 500, 1000, 5000, 10000, 50000];
  const step = p.state === "waiting" ? (steps.find((s) => p.ahead <= s) ?? "far") : "";
  const now = `${p.state}-${p.phase}-${step}`;
  if (now === announced) return;
  announced = now;
  const told = p.state === "waiting" && p.eta_seconds;
  $("live").textContent = told ? `${heading}. ${phrase("queue.wait", { wait: wait(p).join(" ") })}.` : heading;
}

/** Shows a place: first what every browser can. @param {any} next */
async function render(next) {
  // One that came while texts were loaded is newer.
  const mine = ++renders;
  if (isRare(next)) await loadRare();
  if (mine !== renders) return;
  if (isRare(next) && !phrase("later.moment")) setTimeout(() => mine === renders && render(next), 3000);
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
  $("heading").textContent = heading || "…";
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
  // The address of our own checkout stands there already, with the language that it carries on.
  const isOwn = place.checkout_url === `/e/${event}/seats`;
  const goal = document.body.dataset.return || (!isOwn && place.checkout_url);
  if (goal) $("go").setAttribute("href", goal);
  if (waits) {
    $("number").textContent = place.number ? count(place.number) : phrase("undrawn.number");
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
    Promise.all([import("./cookies.js"), loadRare()]).then(
      ([cookies]) => cookies.warn(event),
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
  $("began").textContent = start ? phrase("queue.came", { count: start }) : "";
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
  const text = dates && left > 0 ? phrase("queue.countdown", { span: dates.span(left) }) : "";
  show("countdown", Boolean(text));
  $("countdown").textContent = text;
}

function tick() {
  countDown();
  if (place?.state === "admitted") {
    const left = (Date.parse(place.claim_by) - now()) / 1000;
    $("text").textContent = left > 0 ? phrase("queue.come", { time: clock(left) }) : phrase("queue.running_out");
  }
  const offline = offlineSince ? performance.now() - offlineSince : 0;
  const lost = socketState === "closed" && offline > 1500;
  // The server answers, the line behind it does not.
  const stale = socketState !== "4001" && (lost ? isAway : place?.stale);
  $("connection").classList.toggle("stale", Boolean(lost || stale));
  show("connection", ["waiting", "admitted"].includes(place?.state));
  $("connection").textContent = stale
    ? phrase("queue.away")
    : lost
      ? phrase("queue.lost", { time: clock(offline / 1000) })
      : socketState === "4001"
        ? phrase("later.several")
        : phrase("queue.live", { seconds: Math.round((performance.now() - heardAt) / 1000) });
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
    await render(await look());
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
async function forget() {
  await loadRare();
  live?.end();
  clearTimeout(poll);
  place = null;
  for (const id of ["eta", "reason", "facts", "progress", "leave", "go", "cookies", "alert"]) show(id, false);
  show("join", true);
  const [heading, text, next] = triple("unknown");
  $("heading").textContent = $("live").textContent = heading;
  $("text").textContent = text;
  $("next").textContent = next;
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
        loadRare();
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
    await loadRare();
    show("join", false);
    if (p.kind === "line-not-open") {
      const at = p.body.opens_at;
      await loadDates();
      const [heading, text] = triple("scheduled");
      $("heading").textContent = heading;
      $("text").textContent = at ? phrase("later.opens", { opening: opening(at) }) : text;
      opens = at;
      countDown();
      if (at) tryAgain(Math.min(60000, Math.max(1000, Date.parse(at) - now() + Math.random() * 1500)));
    } else if (p.kind === "line-closed") {
      // The server's page says more, such as that the show was cancelled.
      if (document.body.dataset.phase !== p.body.phase)
        [$("heading").textContent, $("text").textContent] = triple(p.body.phase);
      show("then", false);
    } else {
      if (p.status === 401) isByPass = false;
      $("heading").textContent = phrase("later.moment");
      $("text").textContent =
        p.kind === "too-many-places"
          ? phrase("later.too_many_places")
          : p.status === 429
            ? phrase("later.crowded")
            : phrase("later.again");
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
  await loadRare();
  if (!confirm(phrase("later.leave") || $("leave").innerText)) return;
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
