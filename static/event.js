// @ts-check
// An event's name, date and place, colours and links, on pages that load it.
import { $, phrase } from "./api.js";
import { timeOfDay, when } from "./dates.js";
import { make } from "./make.js";

/** Date, doors and place, a paragraph each. @param {any} about */
export function facts({ details }) {
  const { starts_at: start, doors_at: doors, time_zone: zone, venue } = details ?? {};
  const lines = [];
  if (start) lines.push(make("p", {}, make("time", { dateTime: start }, when(start, zone))));
  if (start && doors) lines.push(make("p", {}, phrase("event.doors", { time: timeOfDay(doors, zone, start) })));
  if (venue) lines.push(make("p", {}, [venue.name, venue.address].filter(Boolean).join(", ")));
  return lines;
}

/**
 * The language of the organiser's own words, for their elements, where the page is in another one.
 * @param {any} about @returns {{lang?: string}}
 */
export function ownLanguage({ details }) {
  const lang = details?.language;
  return lang && lang !== document.documentElement.lang ? { lang } : {};
}

/** Shows the event in the elements `event` and `links`, in its colours. @param {any} about */
export function showEvent(about) {
  const { colours, links, subtitle } = about.details ?? {};
  const style = document.documentElement.style;
  const own = ownLanguage(about);
  if (colours)
    for (const [name, value] of [
      ["--brand", colours.background],
      ["--brand-ink", colours.text],
      ["--accent", "var(--ink)"],
      ["--accent-ink", "var(--paper)"],
      ["--glow", "var(--line)"],
    ])
      style.setProperty(name, value);
  $("event").replaceChildren(
    make("p", { className: "name", ...own }, about.name, ...(subtitle ? [` · ${subtitle}`] : [])),
    ...facts(about),
  );
  $("event").hidden = false;
  const shown = ["contact", "imprint", "terms", "privacy"].filter((name) => links?.[name]);
  // Their texts are in the language of the page, and the pages that they lead to are not.
  const of = own.lang ? { hreflang: own.lang } : {};
  const link = (/** @type {string} */ name) => make("a", { href: links[name], ...of }, phrase(`event.links.${name}`));
  $("links").replaceChildren(...shown.map(link));
}
