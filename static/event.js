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

/** Shows the event in the elements `event` and `links`, in its colours. @param {any} about */
export function showEvent(about) {
  const { colours, links, subtitle } = about.details ?? {};
  const style = document.documentElement.style;
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
    make("p", { className: "name" }, about.name, ...(subtitle ? [` · ${subtitle}`] : [])),
    ...facts(about),
  );
  $("event").hidden = false;
  const shown = ["contact", "imprint", "terms", "privacy"].filter((name) => links?.[name]);
  $("links").replaceChildren(...shown.map((name) => make("a", { href: links[name] }, phrase(`event.links.${name}`))));
}
