// @ts-check
// Local times of a time zone, as forms have them, and the instants they are.
import { phrase } from "./api.js";

/** Milliseconds by which a zone is ahead of UTC at an instant. @param {number} at @param {string} timeZone */
function offset(at, timeZone) {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
  const p = Object.fromEntries(format.formatToParts(at).map((part) => [part.type, Number(part.value)]));
  return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - Math.floor(at / 1000) * 1000;
}

/** The zone of this browser. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The names of the time zones that this browser knows. */
export const zones = () => ["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")];

/**
 * The instant of a local time such as 2026-12-12T20:00; null for an empty one.
 * @param {string} local @param {string} zone
 */
export function toInstant(local, zone) {
  if (!local) return null;
  const wall = Date.parse(`${local}Z`);
  let at = wall;
  try {
    // The offset of a guess may be that of the other side of a change of clocks.
    for (let tries = 0; tries < 2; tries++) at = wall - offset(at, zone);
  } catch {
    throw new Error(phrase("console.no_zone", { zone }));
  }
  return new Date(at).toISOString();
}

/** The local time of an instant, as a form has it. @param {string | null | undefined} at @param {string} zone */
export function toLocal(at, zone) {
  if (!at) return "";
  const instant = Date.parse(at);
  return new Date(instant + offset(instant, zone)).toISOString().slice(0, 16);
}
