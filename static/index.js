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

/** @param {any[]} events */
function show(events) {
  $("list").replaceChildren(
    ...events.map((event) =>
      make(
        "p",
        { className: "card" },
        make("a", { href: `${root}/e/${event.id}` }, event.name),
        ` · ${/** @type {any} */ (phases)[event.phase]}`,
      ),
    ),
  );
  if (!events.length) $("list").replaceChildren(make("p", { className: "soft" }, "Nothing is on sale."));
}

const load = () =>
  call("GET", "/api/v1/events").then(show, (problem) => {
    $("list").replaceChildren(make("p", { className: "bad", role: "alert" }, `${problem.message}. Trying again.`));
    setTimeout(load, 5000);
  });
load();
