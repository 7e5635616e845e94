// @ts-check
// The states of the seats, kept current: fetched as a whole, then told change by change over the socket.
import { now, socket } from "./api.js";
import { states } from "./seat-states.js";

/** Time until the seats are fetched again: after an answer that is too old, and after none, in ms. */
const AGAIN_MS = 500,
  AFTER_FAILURE_MS = 1500;
/** Time without a connection after which fans are told, in ms. */
const SILENCE_MS = 3000;
/** Longest time for which a cache may have an old plan, in ms. */
const PLAN_CACHED_MS = 6000;

/** Fetches the states of the seats. @param {typeof import("./api.js").call} call @param {string} base path of the event */
export const fetchSeats = (call, base) => call("GET", `${base}/seats?format=bits`, { cache: "no-cache" });

export class LiveSeats {
  /**
   * @param {() => ReturnType<typeof fetchSeats>} fetch @param {{ seats: { state: number }[], byId: Map<string, { state: number }> }} map whose seats, in the
   * order of the layout, are kept current
   * @param {{ onChange: () => void, onReplaced: () => void, onSilence: (since: number | null) => void }} hooks
   * `onReplaced` is called when the plan may be another, `onSilence` when nothing is heard any more, and with null again
   */
  constructor(fetch, map, hooks) {
    this.fetch = fetch;
    this.map = map;
    this.hooks = hooks;
    /** Tag of the layout that the states are of. @type {string | null} */
    this.layoutTag = null;
    /** The version shown, and the newest that is known of. */
    this.version = this.least = 0;
    /** The one timer of the next try: tries must not multiply while the server is away. */
    this.nextTry = 0;
    this.isFetching = false;
    this.silence = 0;
  }

  #heard() {
    clearTimeout(this.silence);
    this.silence = 0;
    this.hooks.onSilence(null);
  }

  #lost() {
    const since = now();
    this.silence ||= setTimeout(() => this.hooks.onSilence(since), SILENCE_MS);
  }

  /**
   * Shows the states of the seats; fetches them again soon where a cache on the way had older ones than are known of.
   * @param {Promise<{bits: Uint8Array, version: number, layout: string | null}>} fetched
   */
  async refresh(fetched = this.fetch()) {
    const { bits, version, layout } = await fetched;
    this.layoutTag ??= layout;
    // The bits of another plan say nothing about the seats of this one.
    if (layout !== this.layoutTag) return this.hooks.onReplaced();
    if (version < Math.max(this.least, this.version)) return this.catchUp(AGAIN_MS);
    this.version = version;
    this.map.seats.forEach((seat, i) => {
      seat.state = (bits[i >> 2] >> ((i & 3) * 2)) & 3;
    });
    this.hooks.onChange();
  }

  /** Fetches the states again, until they are here. @param {number} [ms] time to wait before */
  catchUp(ms = 0) {
    clearTimeout(this.nextTry);
    this.nextTry = setTimeout(async () => {
      if (this.isFetching) return this.catchUp(AGAIN_MS);
      this.isFetching = true;
      await this.refresh()
        .then(() => this.#heard())
        .catch(() => this.catchUp(AFTER_FAILURE_MS));
      this.isFetching = false;
    }, ms);
  }

  /** Follows the changes over the socket, which is returned. @param {string} path */
  watch(path) {
    return socket(path, {
      onMessage: (message) => {
        if (message.type === "seats" && message.version > this.version) this.apply(message);
      },
      onState: (state, code) => {
        if (state === "open") this.#heard();
        else this.#lost();
        if (state === "failed") this.catchUp(AFTER_FAILURE_MS);
        if (code === 4002) {
          // Another map may count its versions anew.
          this.version = this.least = 0;
          for (const ms of [Math.random() * 1000, PLAN_CACHED_MS]) setTimeout(this.hooks.onReplaced, ms);
        }
      },
    });
  }

  /** @param {{ version: number, changes: [string, string][] }} message */
  apply({ version, changes }) {
    // A socket begins with the version that is shown, not with what led to it.
    if (version > this.version + 1 || !changes.length) {
      this.least = version;
      return this.catchUp();
    }
    this.version = version;
    for (const [id, state] of changes) {
      const seat = this.map.byId.get(id);
      if (seat) seat.state = states.indexOf(state);
    }
    this.hooks.onChange();
  }
}
