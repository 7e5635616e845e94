// @ts-check
// The draw, checked in the fan's own browser from what is published: the seed's fingerprint, the list's root, the
// order.
import { $, call, count, locale, phrase, Problem } from "./api.js";
import { explain } from "./explain.js";

const event = document.body.dataset.event || "";
const base = `/api/v1/events/${event}/draw`;
const text = new TextEncoder();
/** Number of hashes computed at one time. */
const AT_ONCE = 2000;

const hex = (/** @type {ArrayBuffer | Uint8Array} */ bytes) =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
/** @param {string} digits */
const unhex = (digits) => new Uint8Array((digits.match(/../g) || []).map((pair) => parseInt(pair, 16)));
/** @param {Uint8Array[]} parts @returns {Uint8Array<ArrayBuffer>} */
function join(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
/** @param {any} bytes @returns {Promise<Uint8Array>} */
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** @template T, R @param {T[]} list @param {(one: T) => Promise<R>} work @returns {Promise<R[]>} */
async function each(list, work) {
  /** @type {R[]} */
  const done = [];
  for (let at = 0; at < list.length; at += AT_ONCE)
    done.push(...(await Promise.all(list.slice(at, at + AT_ONCE).map(work))));
  return done;
}

/** The Merkle tree hash of RFC 6962 over entries in ascending order. @param {string[]} sorted */
async function root(sorted) {
  if (!sorted.length) return hex(await sha256(new Uint8Array()));
  /** @type {Uint8Array[]} */
  let level = await each(sorted, (entry) => sha256(join(Uint8Array.of(0), text.encode(entry))));
  while (level.length > 1) {
    /** @type {Uint8Array[][]} */
    const pairs = [];
    for (let at = 0; at < level.length; at += 2) pairs.push(level.slice(at, at + 2));
    level = await each(pairs, async ([left, right]) => (right ? sha256(join(Uint8Array.of(1), left, right)) : left));
  }
  return hex(level[0]);
}

/** Entries by the number that the seed gives them. @param {any} draw @param {string[]} entries */
async function order(draw, entries) {
  const key = join(unhex(draw.seed), unhex(draw.beacon?.randomness || ""));
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signed = await each(entries, async (entry) => [
    hex(await crypto.subtle.sign("HMAC", imported, text.encode(entry))),
    entry,
  ]);
  return signed.sort((a, b) => (a[0] < b[0] ? -1 : 1)).map((pair) => pair[1]);
}

/** @param {string} what */
function step(what) {
  const item = document.createElement("li");
  item.textContent = what;
  $("steps").append(item);
}

/** Every step, or an Error that says what is wrong. @param {any} draw @param {string} list */
export async function verify(draw, list) {
  if (hex(await sha256(unhex(draw.seed))) !== draw.commitment) throw new Error(phrase("draw.wrong.seed"));
  step(phrase("draw.step.seed"));
  if (draw.beacon) {
    if (hex(await sha256(unhex(draw.beacon.signature || ""))) !== draw.beacon.randomness)
      throw new Error(phrase("draw.wrong.randomness"));
    step(phrase("draw.step.randomness"));
  }
  const lines = list
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split(" "));
  const entries = lines.map((line) => line[0]);
  if (entries.length !== draw.entries)
    throw new Error(phrase("draw.wrong.length", { found: entries.length, told: draw.entries }));
  if (new Set(entries).size !== entries.length) throw new Error(phrase("draw.wrong.twice"));
  lines.forEach((line, at) => {
    if (Number(line[1]) !== at + 1) throw new Error(phrase("draw.wrong.line", { line: at + 1, number: line[1] }));
  });
  if ((await root([...entries].sort())) !== draw.entries_root) throw new Error(phrase("draw.wrong.list"));
  step(phrase("draw.step.list", { count: entries.length }));
  const drawn = await order(draw, entries);
  const wrong = drawn.findIndex((entry, at) => entry !== entries[at]);
  if (wrong >= 0) throw new Error(phrase("draw.wrong.order", { number: wrong + 1 }));
  step(phrase("draw.step.order"));
  return entries;
}

async function check() {
  $("check").hidden = true;
  $("steps").hidden = false;
  $("steps").textContent = "";
  const verdict = $("verdict");
  verdict.hidden = false;
  verdict.textContent = phrase("draw.checking");
  verdict.className = "note";
  try {
    if (!globalThis.crypto?.subtle) throw new Error(phrase("draw.wrong.http"));
    const [draw, list] = await Promise.all([call("GET", base), call("GET", `${base}/entries`)]);
    const entries = await verify(draw, list);
    const place = await call("GET", `/api/v1/events/${event}/line/me`).catch(() => null);
    const own = place?.entry ? entries.indexOf(place.entry) + 1 : 0;
    verdict.textContent = own > 0 ? phrase("draw.good.own", { number: own }) : phrase("draw.good");
    verdict.classList.add("good");
  } catch (problem) {
    const { message } = /** @type {Error} */ (problem);
    verdict.textContent = problem instanceof Problem ? explain(problem) : phrase("draw.bad", { problem: message });
    verdict.classList.add("bad");
    $("check").hidden = false;
  }
}

async function show() {
  let draw;
  try {
    draw = await call("GET", base);
  } catch (problem) {
    const none = /** @type {any} */ (problem).kind === "no-draw";
    $("state").textContent = none ? phrase("draw.none") : explain(problem);
    $("commitment").textContent = "–";
    return;
  }
  $("commitment").textContent = draw.commitment;
  $("beacon-box").hidden = !draw.beacon;
  if (draw.beacon)
    $("beacon").textContent = phrase("draw.round", { name: draw.beacon.name, round: String(draw.beacon.round) });
  const held = Boolean(draw.seed);
  $("held").hidden = !held;
  $("check").hidden = !held;
  $("state").textContent = phrase(held ? "draw.held" : "draw.to_come");
  if (!held) {
    setTimeout(show, 5000);
    return;
  }
  $("entries").textContent = count(draw.entries);
  $("drawn-at").textContent = new Date(draw.drawn_at).toLocaleString(locale);
  $("seed").textContent = draw.seed;
}

$("check").addEventListener("click", check);
show();
