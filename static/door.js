// @ts-check
// The page of a door: scans tickets, checks them in with the server, or by the list it fetched where there is no connection.
import { $, call, count as inNumber, locale, newKey, onWake, optional, phrase, root } from "./api.js";
import { DoorList } from "./door-list.js";
import { ScanQueue } from "./door-queue.js";
import { make } from "./make.js";

const event = document.body.dataset.event ?? "";
const path = `/api/v1/organiser/events/${event}`;
/** Time that the server has to answer, in ms, before the list decides. */
const PATIENCE = 3000;
/** A code that stays before the camera is read once. */
const SAME_MS = 4000;
const LIST_EVERY_MS = 120000;
const COUNT_EVERY_MS = 5000;
/** Conflicts that are shown. */
const CONFLICTS_MAX = 50;

const list = new DoorList(event);
const queue = new ScanQueue(event);
const doorName = `fairline-door-name-${event}`;
let door = optional(() => localStorage.getItem(doorName)) ?? "";
let isSending = false;

/** @param {"sign-in" | "name" | "desk"} id */
function show(id) {
  for (const other of ["sign-in", "name", "desk"]) $(other).hidden = other !== id;
  if (id !== "desk") $(id).querySelector("input").focus();
}

/** @param {boolean} isThere */
function connected(isThere) {
  $("link").hidden = false;
  $("link").classList.toggle("away", !isThere);
  const text = isThere ? phrase("door.connected") : phrase("door.away");
  if ($("link").textContent !== text) $("link").textContent = text;
}

/** Notes what became of a request; a session that ended asks for the key again. @param {any} problem */
function failed(problem) {
  if (problem.status === 401 || problem.status === 403) {
    stopCamera();
    show("sign-in");
    if (problem.status === 403) told($("sign-in"), phrase("door.refused_key"));
    return;
  }
  connected(false);
}

/** @param {any} form @param {string} text */
function told(form, text) {
  const alert = form.querySelector("[role=alert]");
  alert.textContent = text;
  alert.hidden = !text;
}

const clock = (/** @type {string | null | undefined} */ at) =>
  at ? new Date(at).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" }) : "";

/** Place of a ticket and its type, such as that of children. @param {import("./door-list.js").Answer["ticket"]} ticket */
const ticketWords = (ticket) => [ticket?.label, ticket?.ticket_type?.name].filter(Boolean).join(" · ");

/** Title and detail of an answer, for people at the door. @param {import("./door-list.js").Answer} answer @returns {[string, string]} */
function words(answer) {
  switch (answer.outcome) {
    case "checked_in":
      return [phrase("door.come_in"), ticketWords(answer.ticket) || phrase("door.sold_since")];
    case "ticket-used":
      return [
        phrase("door.used"),
        phrase(answer.door ? "door.used.at" : "door.used.when", { time: clock(answer.used_at), door: answer.door }),
      ];
    case "ticket-void":
      return [phrase("door.not_valid"), phrase("door.given_back")];
    case "event-cancelled":
      return [phrase("door.cancelled"), phrase("door.cancelled.text", { reason: answer.detail })];
    case "ticket-of-another-event":
      return [phrase("door.other"), phrase("door.other.text", { event: answer.event })];
    case "full":
      return [phrase("door.not_checked"), phrase("door.full")];
    case "typed":
      return [phrase("door.not_checked"), phrase("door.typed")];
    case "unknown-list":
      return [phrase("door.not_checked"), phrase("door.no_list")];
    default:
      return [phrase("door.not_valid"), phrase("door.forged")];
  }
}

/** @param {import("./door-list.js").Answer} answer */
function result(answer) {
  const isIn = answer.outcome === "checked_in";
  [$("outcome").textContent, $("detail").textContent] = words(answer);
  $("result").className = `card ${isIn ? "in" : "out"}`;
  optional(() => navigator.vibrate?.(isIn ? 80 : [120, 80, 120]));
}

/** Asks the server; null where it does not answer in time. @param {any} body @returns {Promise<any>} */
async function ask(body) {
  const late = new Promise((done) => setTimeout(() => done(null), PATIENCE));
  const asking = call("POST", `${path}/checkins`, { body }).then(
    (checked) => ({ outcome: "checked_in", ...checked }),
    (problem) => {
      if ([404, 409, 422].includes(problem.status)) return { ...problem.body, outcome: problem.kind };
      failed(problem);
      return problem.status === 401 || problem.status === 403 ? { outcome: "refused" } : null;
    },
  );
  return Promise.race([asking, late]);
}

/** Checks a code by the list, and keeps the scan if its ticket is let in. @param {any} scan */
async function decide(scan) {
  if (!list.asOf) return { outcome: "unknown-list" };
  const answer = await list.check(scan.code);
  if (answer.outcome !== "checked_in" || !answer.ticket) return answer;
  if (!queue.add({ ...scan, ticket: answer.ticket.id })) return { outcome: "full" };
  list.use(answer.ticket.id, scan.at, door);
  waiting();
  return answer;
}

/** @param {string} code */
async function scanned(code) {
  const scan = { code: code.trim(), scan: newKey(), at: new Date().toISOString(), door };
  // Without its time: the server's clock is right, and it is asked now.
  const answer = await ask({ code: scan.code, scan: scan.scan, door });
  connected(answer !== null);
  if (answer?.outcome === "refused") return;
  if (answer?.ticket) list.use(answer.ticket.id, answer.ticket.used_at, door);
  result(answer ?? (await decide(scan)));
  if (answer) count();
}

function waiting() {
  $("waiting").textContent = inNumber(queue.size);
  $("unkept").hidden = !queue.unkept.size;
}

async function count() {
  const figures = await call("GET", `${path}/checkins`);
  connected(true);
  $("count").textContent = phrase("door.of", { checked: figures.checked_in, tickets: figures.tickets });
  const own = figures.doors.find((/** @type {any} */ one) => one.door === door);
  $("here").textContent = inNumber(own?.checked_in ?? 0);
}

/** Sends the scans that wait, and shows which tickets another door had let in. */
async function send() {
  if (isSending || !queue.size) return;
  isSending = true;
  try {
    for (const { scan, outcome } of await queue.send(path)) {
      if (outcome.doubtful_at) $("clock").hidden = false;
      if (outcome.outcome === "checked_in") continue;
      const [title, detail] = words(outcome);
      const seat = list.tickets.get(scan.ticket)?.label || scan.code;
      const item = make("li", {}, phrase("door.conflict", { seat, time: clock(scan.at), title, detail }));
      $("conflicts").hidden = false;
      const items = $("conflicts").querySelector("ul");
      items.prepend(item);
      if (items.children.length > CONFLICTS_MAX) items.lastElementChild.remove();
    }
  } finally {
    isSending = false;
    waiting();
  }
}

async function fetchList() {
  await list.fetch(path);
  listed();
}

/** Shows that there is a list. What waits to be sent is used by it. */
function listed() {
  for (const scan of queue.scans) list.use(scan.ticket, scan.at, scan.door);
  $("list").textContent = list.asOf ? phrase("door.list", { count: list.tickets.size, time: clock(list.asOf) }) : "";
}

async function round() {
  if ($("desk").hidden || document.hidden) return;
  await send().then(count).catch(failed);
}

/** @type {MediaStream | undefined} */
let stream;

function stopCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  $("camera").hidden = true;
  $("look").textContent = phrase("door.look");
}

async function startCamera() {
  const Detector = /** @type {any} */ (window).BarcodeDetector;
  const detector = new Detector({ formats: ["qr_code"] });
  stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  $("camera").srcObject = stream;
  $("camera").hidden = false;
  $("look").textContent = phrase("door.stop");
  await $("camera").play();
  let last = "",
    lastAt = 0;
  const own = stream;
  while (stream === own) {
    const found = await detector.detect($("camera")).catch(() => []);
    const code = found[0]?.rawValue;
    if (code && (code !== last || performance.now() - lastAt > SAME_MS)) {
      [last, lastAt] = [code, performance.now()];
      await scanned(code);
    }
    if (code === last) lastAt = performance.now();
    await new Promise((next) => setTimeout(next, 150));
  }
}

async function begin() {
  await list.restore().catch(() => {});
  listed();
  waiting();
  try {
    await count();
  } catch (problem) {
    const { status } = /** @type {any} */ (problem);
    // Without a connection the list goes on working, for a door that was signed in before.
    if (status || !list.asOf) {
      failed(problem);
      if (!status) show("sign-in");
      return;
    }
    connected(false);
  }
  $("door").textContent = door;
  show(door ? "desk" : "name");
  if (!door) return;
  $("type").elements.code.focus();
  await fetchList().catch(failed);
}

$("sign-in").addEventListener("submit", async (/** @type {Event} */ submit) => {
  submit.preventDefault();
  const form = $("sign-in");
  told(form, "");
  try {
    await call("POST", "/api/v1/organiser/session", { body: { key: form.elements.key.value } });
    form.reset();
    await begin();
  } catch (problem) {
    const { status, message } = /** @type {any} */ (problem);
    told(form, status === 401 ? phrase("door.no_key") : message);
  }
});
$("name").addEventListener("submit", (/** @type {Event} */ submit) => {
  submit.preventDefault();
  door = $("name").elements.door.value.trim();
  optional(() => localStorage.setItem(doorName, door));
  begin();
});
$("type").addEventListener("submit", (/** @type {Event} */ submit) => {
  submit.preventDefault();
  const field = $("type").elements.code;
  const code = field.value;
  field.value = "";
  field.focus();
  scanned(code);
});
$("rename").addEventListener("click", () => {
  $("name").elements.door.value = door;
  show("name");
});
$("sign-out").addEventListener("click", async () => {
  stopCamera();
  await send().catch(() => {});
  try {
    await call("DELETE", "/api/v1/organiser/session");
  } catch (problem) {
    const { message } = /** @type {any} */ (problem);
    [$("outcome").textContent, $("detail").textContent] = [
      phrase("door.still"),
      phrase("door.still.text", { message }),
    ];
    $("result").className = "card out";
    return;
  }
  if (!queue.size) await list.clear();
  show("sign-in");
});
$("look").addEventListener("click", () => {
  if (stream) return stopCamera();
  startCamera().catch(() => {
    stopCamera();
    $("detail").textContent = phrase("door.no_camera");
  });
});

$("sale").textContent = event;
const canScan = "BarcodeDetector" in window && Boolean(navigator.mediaDevices);
$("look").hidden = !canScan;
$("no-camera").hidden = canScan;
setInterval(round, COUNT_EVERY_MS);
setInterval(() => {
  if (!$("desk").hidden) fetchList().catch(failed);
}, LIST_EVERY_MS);
onWake(() => void round());
// Another tab has let a fan in, or has sent its scans.
addEventListener("storage", () => {
  listed();
  waiting();
});
addEventListener("beforeunload", (leaving) => {
  if (queue.unkept.size) leaving.preventDefault();
});
// So that the page opens again without a connection.
optional(() => {
  navigator.serviceWorker?.register(`${root}/door/worker.js`).catch(() => {});
  // It keeps what it sees, and the page was loaded before it was there.
  navigator.serviceWorker?.addEventListener("controllerchange", () => {
    const files = performance.getEntriesByType("resource").map((file) => file.name);
    const own = files.filter((name) => name.includes("/static/"));
    for (const name of [location.href, ...own]) fetch(name).catch(() => {});
  });
});
begin();
