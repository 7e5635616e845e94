// @ts-check
// The list of public events.
import { $, call, root } from "./api.js";
import { make } from "./make.js";

const phases = {
  scheduled: "not open yet",
  prequeue: "the line is open",
  open: "on sale",
  paused: "paused",
  sold_out: "sold out",
  closed: "over",
};
const events = await call("GET", "/api/v1/events");
$("list").replaceChildren(
  ...events.map((/** @type {any} */ event) =>
    make(
      "p",
      { className: "card" },
      make("a", { href: `${root}/e/${event.id}` }, event.name),
      ` · ${/** @type {any} */ (phases)[event.phase]}`,
    ),
  ),
);
if (!events.length) $("list").replaceChildren(make("p", { className: "soft" }, "Nothing is on sale."));
