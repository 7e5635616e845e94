// @ts-check
// Scans that were made without a connection, kept by the browser until the server has them.
import { call, optional } from "./api.js";

/** @typedef {{code: string, scan: string, at: string, door: string, ticket: string}} Scan */

/** Scans sent at one time. */
const AT_ONCE = 200;
/** Scans that are kept. */
export const SCANS_MAX = 10000;

export class ScanQueue {
  /** @param {string} event */
  constructor(event) {
    /** Begins the names of this event's scans: each is kept by itself, so that two tabs overwrite nothing. */
    this.prefix = `fairline-door-scan:${event}:`;
    /** Scans that the browser does not keep, because its storage is full or blocked. @type {Map<string, Scan>} */
    this.unkept = new Map();
  }

  /** Returns the scans of all tabs that wait to be sent, oldest first. @returns {Scan[]} */
  get scans() {
    return [...this.#names().map((name) => this.#read(name)), ...this.unkept.values()]
      .filter((scan) => scan !== undefined)
      .sort((one, other) => (one.at < other.at ? -1 : 1));
  }

  get size() {
    return this.#names().length + this.unkept.size;
  }

  #names() {
    const names = optional(() => Object.keys(localStorage)) ?? [];
    return names.filter((name) => name.startsWith(this.prefix));
  }

  /** @param {string} name @returns {Scan | undefined} */
  #read(name) {
    return optional(() => JSON.parse(localStorage.getItem(name) ?? "")) ?? undefined;
  }

  /** Keeps a scan. Returns false if there are as many as may be. @param {Scan} scan */
  add(scan) {
    if (this.size >= SCANS_MAX) return false;
    try {
      localStorage.setItem(this.prefix + scan.scan, JSON.stringify(scan));
    } catch {
      this.unkept.set(scan.scan, scan);
    }
    return true;
  }

  /**
   * Sends some scans of one door; returns their outcomes with their scans.
   * @param {string} path @returns {Promise<{scan: Scan, outcome: any}[]>}
   */
  async send(path) {
    const waiting = this.scans;
    const door = waiting[0]?.door;
    if (door === undefined) return [];
    const sent = waiting.filter((scan) => scan.door === door).slice(0, AT_ONCE);
    const scans = sent.map(({ code, scan, at }) => ({ code, scan, at }));
    const merged = await call("POST", `${path}/checkins/merge`, { body: { door, scans } });
    for (const { scan } of sent) {
      optional(() => localStorage.removeItem(this.prefix + scan));
      this.unkept.delete(scan);
    }
    return merged.scans.map((/** @type {any} */ outcome, /** @type {number} */ at) => ({ scan: sent[at], outcome }));
  }
}
