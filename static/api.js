// @ts-check
// The network, for all pages: calls with problems as errors, and sockets that come back.

/** A refusal: `type`, `title`, `status` and more as in RFC 9457. */
export class Problem extends Error {
  /** @param {any} body @param {number} status */
  constructor(body, status) {
    super(body?.detail || body?.title || "The server cannot be reached");
    this.kind = String(body?.type || "").replace("/problems/", "");
    this.status = status;
    this.body = body || {};
  }
}

/**
 * @param {string} method @param {string} path
 * @param {{body?: any, bearer?: string, raw?: BodyInit, accept?: string, key?: string, cache?: RequestCache}} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (options.bearer) headers.Authorization = `Bearer ${options.bearer}`;
  if (options.body !== undefined || options.raw) headers["Content-Type"] = "application/json";
  if (options.accept) headers.Accept = options.accept;
  if (options.key) headers["Idempotency-Key"] = options.key;
  let response;
  try {
    response = await fetch(path, {
      method, headers, cache: options.cache, body: options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
    });
  } catch {
    throw new Problem(null, 0);
  }
  const kind = response.headers.get("Content-Type") || "";
  if (!response.ok) throw new Problem(kind.includes("json") ? await response.json() : null, response.status);
  if (response.status === 204) return null;
  if (kind.includes("octet-stream")) return { bits: new Uint8Array(await response.arrayBuffer()), version: Number(response.headers.get("X-Version")) };
  return kind.includes("json") ? response.json() : response.text();
}

/** A key for one intention: sent again it does nothing twice. */
export const newKey = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

/**
 * A WebSocket that comes back with growing, random pauses. `onState` hears "open", "closed" and "failed" (it never opened).
 * @param {string} path
 * @param {{onMessage: (message: any) => void, onState?: (state: string, code?: number) => void}} hooks
 */
export function socket(path, hooks) {
  let tries = 0, ended = false, wait = 0;
  /** @type {WebSocket | undefined} */
  let current;
  const open = () => {
    if (ended) return;
    let opened = false;
    if (!("WebSocket" in window)) return hooks.onState?.("failed");
    current = new WebSocket(path.replace(/^/, location.origin.replace(/^http/, "ws")));
    current.onopen = () => { opened = true; tries = 0; wait = 0; hooks.onState?.("open"); };
    current.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "reconnect") wait = message.after_ms;
      else hooks.onMessage(message);
    };
    current.onclose = (event) => {
      if (ended) return;
      hooks.onState?.(opened ? "closed" : "failed", event.code);
      if (event.code === 4001) return;
      const pause = wait || Math.random() * Math.min(15000, 500 * 2 ** tries++);
      setTimeout(open, pause);
    };
  };
  open();
  return { end: () => { ended = true; current?.close(); } };
}

/** Writes an amount of minor units; the server says how many decimals they have. @param {{amount: number, currency: string, exponent: number}} money */
export const money = ({ amount, currency, exponent }) =>
  new Intl.NumberFormat(undefined, { style: "currency", currency, minimumFractionDigits: exponent, maximumFractionDigits: exponent }).format(amount / 10 ** exponent);

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/** Makes an element; text is set as text, never as markup. @param {string} tag @param {Record<string, any>} [set] @param {...(Node|string)} inside */
export function make(tag, set = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (name in element) /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
}

/** @param {number} seconds */
export const clock = (seconds) => `${Math.floor(Math.max(0, seconds) / 60)}:${String(Math.floor(Math.max(0, seconds) % 60)).padStart(2, "0")}`;
