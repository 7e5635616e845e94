// @ts-check
// From the admission to a session of the checkout.
import { call, keep, kept, keptKey } from "./api.js";

/** Returns whether asking again may help. @param {any} problem */
export const isPassing = (problem) => problem.status === 0 || problem.status === 429 || problem.status >= 500;

/** Asks the line for a fan's place. @param {string} event */
export const askPlace = (event) => call("GET", `/api/v1/events/${event}/line/me`, { bearer: kept(`pass-${event}`) });

/**
 * Trades the admission for a session. The token is kept until the answer is here: after a lost one the line gives it
 * out no more.
 * @param {string} event
 * @param {Promise<any>} [place] asked for already
 * @returns {Promise<{ session: any, bearer: string | null } | null>} the session, and its word where the browser does
 * not send our cookies back; null without an admission
 */
export async function openSession(event, place) {
  const base = `/api/v1/events/${event}`;
  const admission = `admission-${event}`;
  // The queue page keeps the pass where cookies do not come back; then the session's does not either.
  const pass = kept(`pass-${event}`),
    before = kept(admission);
  const token = before ?? (await (place ?? askPlace(event))).token;
  if (!token) return null;
  keep(admission, token);
  let session;
  try {
    const trade = (/** @type {string | null} */ bearer) =>
      call("POST", `${base}/sessions`, { bearer, body: {}, key: keptKey(`enter-${event}`) });
    // The cookie first: `Authorization` belongs to the site where it uses that itself.
    session = await trade(pass && token).catch((problem) => {
      if (pass || problem.status !== 401) throw problem;
      return trade(token);
    });
  } catch (problem) {
    if (isPassing(problem)) throw problem;
    keep(admission, null);
    return before ? openSession(event) : null;
  }
  keep(admission, null);
  return { session, bearer: pass && session.session };
}

/**
 * Finds what this visitor began in another tab: the hold, and the order that was made of it.
 * @param {typeof call} send @param {string} event
 */
export async function findUnfinished(send, event) {
  const [holds, orders] = await Promise.all(
    [`/api/v1/events/${event}/holds`, "/api/v1/orders"].map((list) => send("GET", list).catch(() => [])),
  );
  const hold = holds.at(-1) ?? null;
  const isOf = (/** @type {any} */ order) =>
    order.event === event && ["paying", "declined", "confirming", "needs_review"].includes(order.state);
  return [hold, hold?.state === "active" ? null : (orders.find(isOf) ?? null)];
}

/** A promise whose refusal matters only to those who wait for it. @template T @param {Promise<T>} promise */
export function unlessUnused(promise) {
  promise.catch(() => {});
  return promise;
}
