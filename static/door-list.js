// @ts-check
// The door without a connection: the list of tickets as it was fetched, kept by the browser, and what it says of a code.
import { call, optional } from "./api.js";

/**
 * @typedef {{id: string, seat: string, label: string, ticket_type?: {name: string}, old_code_sha256: string, used_at: string | null, door: string | null, void: boolean}} Listed
 * @typedef {{outcome: string, ticket?: {id: string, label: string, ticket_type?: {name: string}}, used_at?: string | null, door?: string | null, event?: string, detail?: string}} Answer
 */

/** A list larger than this is not kept. */
const PAGES_MAX = 60;

const bytes = (/** @type {string} */ text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));

export class DoorList {
  /** @param {string} event */
  constructor(event) {
    this.event = event;
    /** @type {Map<string, Listed>} */
    this.tickets = new Map();
    /** @type {Map<string, string>} ids by the hash of their old code */
    this.old = new Map();
    /** @type {CryptoKey | undefined} */
    this.key = undefined;
    /** @type {string | null} */
    this.asOf = null;
    /** @type {{reason: string} | undefined} set once the show was cancelled */
    this.cancelled = undefined;
  }

  /** Takes what an earlier visit kept. */
  async restore() {
    const cache = await optional(() => caches.open("door"));
    const found = await cache?.match(this.#name());
    if (found) await this.#take(await found.json());
  }

  /** Fetches the list anew and keeps it. @param {string} path */
  async fetch(path) {
    let after = "",
      bundle;
    const tickets = [];
    for (let page = 0; page < PAGES_MAX; page++) {
      bundle = await call("GET", `${path}/door-bundle${after && `?after=${encodeURIComponent(after)}`}`);
      tickets.push(...bundle.tickets);
      after = bundle.next;
      if (!after) break;
    }
    const whole = { key: bundle.key, as_of: bundle.as_of, cancelled: bundle.cancelled, tickets };
    await this.#take(whole);
    const cache = await optional(() => caches.open("door"));
    await cache?.put(this.#name(), new Response(JSON.stringify(whole))).catch(() => {});
  }

  /** Forgets the list. */
  async clear() {
    const cache = await optional(() => caches.open("door"));
    await cache?.delete(this.#name());
  }

  #name() {
    return `/door-bundle/${this.event}`;
  }

  /** @param {{key: JsonWebKey, as_of: string, cancelled?: {reason: string}, tickets: Listed[]}} whole */
  async #take(whole) {
    this.key = await crypto.subtle.importKey("jwk", whole.key, "Ed25519", false, ["verify"]).catch(() => undefined);
    this.tickets = new Map(whole.tickets.map((ticket) => [ticket.id, ticket]));
    this.old = new Map(whole.tickets.map((ticket) => [ticket.old_code_sha256, ticket.id]));
    this.asOf = whole.as_of;
    this.cancelled = whole.cancelled;
  }

  /** Checks a code by the list. @param {string} code @returns {Promise<Answer>} */
  async check(code) {
    const typed = code.replace(/[- ]/g, "").toLowerCase();
    if (/^[0-9a-f]{12}$/.test(typed)) return { outcome: "typed" };
    const [version, event, id, proof, more] = code.split(".");
    if (!proof || more !== undefined) return { outcome: "no-such-ticket" };
    if (event !== this.event) return { outcome: "ticket-of-another-event", event };
    if (!(await this.#isGenuine(code, version, id, proof))) return { outcome: "no-such-ticket" };
    if (this.cancelled) return { outcome: "event-cancelled", detail: this.cancelled.reason };
    const listed = this.tickets.get(id);
    if (listed?.void) return { outcome: "ticket-void" };
    if (listed?.used_at) return { outcome: "ticket-used", used_at: listed.used_at, door: listed.door };
    return { outcome: "checked_in", ticket: { id, label: listed?.label ?? "", ticket_type: listed?.ticket_type } };
  }

  /** @param {string} code @param {string} version @param {string} id @param {string} proof */
  async #isGenuine(code, version, id, proof) {
    const text = new TextEncoder();
    if (version === "FL1") {
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", text.encode(code)));
      const hex = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return this.old.get(hex) === id;
    }
    if (version !== "FL2" || !this.key) return false;
    const signed = text.encode(code.slice(0, -proof.length - 1));
    return crypto.subtle.verify("Ed25519", this.key, bytes(proof), signed).catch(() => false);
  }

  /** Marks a ticket as used, here or as the server says. @param {string} id @param {string} at @param {string} door */
  use(id, at, door) {
    const listed = this.tickets.get(id) ?? { id, seat: "", label: "", old_code_sha256: "", void: false };
    this.tickets.set(id, { ...listed, used_at: at, door });
  }
}
