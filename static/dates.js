// @ts-check
// Dates with their zone and spans of time, in the page's language.
import { locale, phrase } from "./api.js";

/** @param {string} at @param {string} zone @returns {Record<string, string>} */
function parts(at, zone) {
  const format = (/** @type {string} */ timeZone) =>
    new Intl.DateTimeFormat(locale, {
      weekday: "long",
      day: "numeric",
      month: "long",
      year: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      timeZone,
      timeZoneName: "shortOffset",
    });
  const list = format(zone).formatToParts(new Date(at));
  return Object.fromEntries(list.map((part) => [part.type, part.value]));
}

/** @param {string} zone @returns {string} one that this browser knows */
function known(zone) {
  try {
    return zone ? new Intl.DateTimeFormat(locale, { timeZone: zone }) && zone : own();
  } catch {
    return "UTC";
  }
}
const own = () => new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** @param {Record<string, string>} p */
const day = (p) => phrase("date.day", p);
/** @param {Record<string, string>} p */
const minute = (p) => `${p.hour}:${p.minute}`;
/** @param {Record<string, string>} p @param {string} zone */
const whole = (p, zone) => phrase("date.whole", { day: day(p), time: minute(p), zone }).trimEnd();

/**
 * A time such as "Saturday, 12 December 2026, 20:00 Berlin time (UTC+1)", as the server writes it.
 * @param {string} at @param {string} [zone] of the event; without one that of the browser
 */
export function when(at, zone = "") {
  const name = known(zone),
    p = parts(at, name),
    place = name.split("/").slice(1).pop()?.replaceAll("_", " ");
  const offset = p.timeZoneName.replace(/^GMT(\+0$)?/, "UTC").replace("-", "−");
  return whole(p, place ? phrase("date.zone", { place, offset }) : name);
}

/** The time of day, with the day if it is another one than that of `other`. @param {string} at @param {string} zone @param {string} other */
export function timeOfDay(at, zone, other) {
  const [p, q] = [at, other].map((time) => parts(time, known(zone)));
  return day(p) === day(q) ? phrase("date.time", { time: minute(p) }) : whole(p, "");
}

/** A span such as "2 days 3:04:05". @param {number} seconds */
export function span(seconds) {
  const whole = Math.max(0, Math.ceil(seconds)),
    days = Math.floor(whole / 86400);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const clock = `${Math.floor((whole % 86400) / 3600)}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return days ? phrase("date.days", { count: days, clock }) : clock;
}
