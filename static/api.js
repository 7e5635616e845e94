// @ts-check
// For all pages: calls with problems as errors, sockets that come back, the server's time, what a tab keeps, numbers, texts.

/** The path prefix of the installation, under which these files were found; empty for none. */
export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** A refusal: `type`, `title`, `status` and more as in RFC 9457. */
export class Problem extends Error {
  /** @param {any} body @param {number} status @param {number} [retryAfter] in seconds */
  constructor(body, status, retryAfter = 0) {
    super(body?.detail || body?.title || phrase("api.unreachable"));
    this.kind = String(body?.type || "").replace("/problems/", "");
    this.status = status;
    this.body = body || {};
    this.retryAfter = retryAfter;
  }
}

/**
 * @typedef {object} Options
 * @property {any} [body] sent as JSON
 * @property {BodyInit} [raw] sent as it is, JSON already
 * @property {string | null} [bearer]
 * @property {string} [key] the idempotency key
 * @property {string} [prefer] how the answer should come, as in RFC 7240
 * @property {string} [language] the page's
 * @property {RequestCache} [cache]
 */

/** How many idle connections may have died as a socket did, in silence: a browser keeps six. */
let suspects = 0;

/** @param {string} method @param {string} path @param {Options} [options] @returns {Promise<any>} */
export async function call(method, path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (options.bearer) headers.Authorization = `Bearer ${options.bearer}`;
  if (options.body !== undefined || options.raw) headers["Content-Type"] = "application/json";
  if (options.key) headers["Idempotency-Key"] = options.key;
  if (options.prefer) headers.Prefer = options.prefer;
  if (options.language) headers["Content-Language"] = options.language;
  for (let tries = 0, refusals = 0; ; tries++) {
    // A connection that died in silence never answers; another try takes another one.
    const stop = new AbortController(),
      isLast = method !== "GET" || tries === 6,
      isSuspect = !isLast && suspects > 0;
    if (isSuspect) suspects--;
    let timer = setTimeout(() => stop.abort(), isLast ? 35000 : isSuspect ? 2000 : 4000 * 2 ** (tries >> 1));
    try {
      const response = await fetch(root + path, {
        method,
        headers,
        cache: options.cache,
        signal: stop.signal,
        body: options.raw ?? JSON.stringify(options.body),
      });
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), 60000);
      setTime(response.headers.get("X-Fairline-Time"));
      return await read(response);
    } catch (problem) {
      if (problem instanceof Problem) {
        // An overloaded server did nothing, so that anything may be sent again.
        if (problem.kind !== "overloaded" || refusals++ === (method === "GET" ? 8 : 3)) throw problem;
        const after = problem.retryAfter * 1000 * (1 + Math.random() / 2);
        await new Promise((later) => setTimeout(later, after));
        tries--;
        continue;
      }
      if (isLast || !stop.signal.aborted) throw new Problem(null, 0);
      if (isSuspect) tries--;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** @param {Response} response */
async function read(response) {
  const kind = response.headers.get("Content-Type") || "";
  if (!response.ok) {
    const body = kind.includes("json") ? await response.json() : null;
    throw new Problem(body, response.status, Number(response.headers.get("Retry-After")));
  }
  if (response.status === 204) return null;
  if (kind.includes("octet-stream"))
    return {
      bits: new Uint8Array(await response.arrayBuffer()),
      version: Number(response.headers.get("X-Version")),
      layout: response.headers.get("X-Layout"),
    };
  if (kind.includes("pdf")) return response.blob();
  return kind.includes("json") ? response.json() : response.text();
}

/** A key for one intention: sent again it does nothing twice. */
export const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** The server's time when the steady clock of this page was 0, in ms. */
let zero = NaN;

/** A slightly lower estimate was only longer on its way. @param {string | null | undefined} text */
function setTime(text) {
  const found = Date.parse(text ?? "") - performance.now();
  if (found && !(found < zero && found > zero - 5000)) zero = found;
}

/** The server's time, in ms since 1970: a phone's own clock may be wrong by minutes. */
export const now = () => (zero ? zero + performance.now() : Date.now());

/**
 * Does what a browser may refuse, such as sound and storage.
 * @template T @param {() => T} act @returns {T | undefined}
 */
export function optional(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** @param {string} name @returns {string | null} */
export const kept = (name) => optional(() => sessionStorage.getItem(name)) ?? history.state?.[name] ?? null;

/**
 * Keeps a text for this tab; with null forgets it. Where storage is blocked, for reloads of this page.
 * @param {string} name @param {string | null} text
 */
export function keep(name, text) {
  if (kept(name) === text) return;
  try {
    text === null ? sessionStorage.removeItem(name) : sessionStorage.setItem(name, text);
  } catch {
    /* blocked */
  }
  if (kept(name) !== text) optional(() => history.replaceState({ ...history.state, [name]: text }, ""));
}

/** A key that outlives a reload. @param {string} name */
export function keptKey(name) {
  const key = kept(name) ?? newKey();
  keep(name, key);
  return key;
}

/** @type {((isCertain: boolean) => void)[]} */
const sleepers = [];

/**
 * Calls `act` when the page may have slept or lost its network; with true where open connections are certainly dead.
 * @param {(isCertain: boolean) => void} act
 */
export function onWake(act) {
  if (sleepers.push(act) > 1) return;
  let last = -Infinity;
  const wake = (isCertain = false) => {
    // Coming back is several events at once.
    if (!isCertain && performance.now() - last < 1000) return;
    last = performance.now();
    for (const act of sleepers) act(isCertain);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) wake();
  });
  addEventListener("pageshow", (shown) => {
    if (shown.persisted) wake(true);
  });
  addEventListener("focus", () => wake());
  addEventListener("online", () => wake(true));
  // The steady clock may stand still while a device sleeps.
  const drift = () => Date.now() - performance.now();
  let before = drift();
  setInterval(() => {
    if (Math.abs(drift() - before) > 2000) wake(true);
    before = drift();
  }, 2000);
}

/**
 * A WebSocket that comes back with growing, random pauses. `onState` is given "open", "closed" or "failed" (it never
 * opened).
 * @param {string} path
 * @param {{onMessage: (message: any) => void, onState?: (state: string, code?: number) => void}} hooks
 */
export function socket(path, hooks) {
  let tries = 0,
    wait = 0,
    heardAt = 0,
    openedAt = 0,
    answers = false,
    opened = false,
    ended = false,
    died = false,
    again = 0;
  /** @type {WebSocket | undefined} */
  let current;
  const open = () => {
    clearTimeout(again);
    if (ended || current) return;
    if (!("WebSocket" in window)) return hooks.onState?.("failed");
    const hear = () => {
      heardAt = performance.now();
    };
    hear();
    answers = false;
    current = new WebSocket(location.origin.replace(/^http/, "ws") + root + path);
    current.onopen = () => {
      hear();
      openedAt = heardAt;
      ask();
      opened = true;
      tries = 0;
      // Now that the server answers again, an old connection that does not is dead as well.
      if (died) suspects = 6;
      died = false;
      hooks.onState?.("open");
    };
    current.onmessage = (event) => {
      hear();
      const message = JSON.parse(event.data);
      // A server of an older version does not answer: its first tick comes after 25 s.
      answers ||= message.type === "tick" && heardAt - openedAt < 15000;
      setTime(message.now);
      if (message.type === "reconnect") wait = message.after_ms;
      else hooks.onMessage(message);
    };
    current.onclose = (event) => lose(event.code);
  };
  const drop = () => {
    // A dead one closes late, and must not be heard then.
    if (current) current.onopen = current.onmessage = current.onclose = null;
    current?.close();
    current = undefined;
  };
  const lose = (code = 0) => {
    const state = opened ? "closed" : "failed";
    drop();
    opened = false;
    ended ||= code === 4001;
    if (!ended) again = setTimeout(open, wait || Math.random() * Math.min(15000, 500 * 2 ** tries++));
    wait = 0;
    hooks.onState?.(state, code);
  };
  const check = (/** @type {number} */ silence) => {
    if (!current || performance.now() - heardAt <= (opened ? silence : 15000)) return;
    died = true;
    lose();
  };
  const ask = () => current?.send("?");
  // The server says something every 25 s. A fan who looks at the page learns within 10 s that it is dead.
  setInterval(() => {
    const looks = answers && !document.hidden;
    check(looks ? 8000 : 40000);
    if (opened && looks && performance.now() - heardAt > 3000) ask();
  }, 2000);
  onWake((isCertain) => {
    check(isCertain ? 0 : 10000);
    open();
  });
  open();
  return {
    end: () => {
      ended = true;
      clearTimeout(again);
      drop();
    },
  };
}

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

const language = document.documentElement.lang;
/** British English writes the day before the month, as the server does. */
export const locale = language === "en" ? "en-GB" : language;

/** @param {number} number */
export const count = (number) => number.toLocaleString(locale);

/** @param {string | null | undefined} json */
const textsOf = (json) => JSON.parse(json || "{}");
/** The page's texts, from the catalogue. @type {Record<string, string | Record<string, string>>} */
const texts = { ...textsOf($("texts")?.textContent), ...textsOf(document.body.dataset.texts) };
const plurals = new Intl.PluralRules(locale);

/**
 * A text of the page's language with its values; of the form for `count`, where it has several. Nothing if there is none.
 * @param {string} key @param {Record<string, any>} [values] numbers are written as such
 */
export function phrase(key, values = {}) {
  const found = texts[key] ?? "";
  const form = typeof found === "string" ? found : (found[plurals.select(values.count)] ?? found.other);
  return form.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? count(values[name]) : (values[name] ?? ""),
  );
}

/** Fetches the texts that pages do not bring. */
export const loadTexts = async () => Object.assign(texts, await call("GET", `/static/texts-${language}.json`));

/** @param {number} seconds */
export const clock = (seconds) =>
  `${Math.floor(Math.max(0, seconds) / 60)}:${String(Math.floor(Math.max(0, seconds) % 60)).padStart(2, "0")}`;
