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
    this.name = `fairline-door-${event}`;
    const kept = optional(() => localStorage.getItem(this.name));
    /** @type {Scan[]} */
    this.scans = optional(() => JSON.parse(kept ?? "[]")) ?? [];
  }

  #keep() {
    optional(() => localStorage.setItem(this.name, JSON.stringify(this.scans)));
  }

  /** Keeps a scan. Returns false if there are as many as may be. @param {Scan} scan */
  add(scan) {
    if (this.scans.length >= SCANS_MAX) return false;
    this.scans.push(scan);
    this.#keep();
    return true;
  }

  /**
   * Sends some scans of one door; returns their outcomes with their scans.
   * @param {string} path @returns {Promise<{scan: Scan, outcome: any}[]>}
   */
  async send(path) {
    const door = this.scans[0]?.door;
    if (door === undefined) return [];
    const sent = this.scans.filter((scan) => scan.door === door).slice(0, AT_ONCE);
    const scans = sent.map(({ code, scan, at }) => ({ code, scan, at }));
    const merged = await call("POST", `${path}/checkins/merge`, { body: { door, scans } });
    this.scans = this.scans.filter((scan) => !sent.includes(scan));
    this.#keep();
    return merged.scans.map((/** @type {any} */ outcome, /** @type {number} */ at) => ({ scan: sent[at], outcome }));
  }
}
