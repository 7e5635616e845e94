// @ts-check
// A card of figures by the hour, on the console's page of a sale: of the last days, with the figures as CSV.
import { call, phrase, root } from "./api.js";
import { atEnd } from "./console.js";
import { make } from "./make.js";

export const HOUR_MS = 3_600_000;
const LOAD_EVERY_MS = 60_000;

/**
 * The card, and the function that keeps it current while its page is shown.
 * @param {string} title @param {string} path of the figures @param {(figures: any) => void} draw @param {...Node} inside
 */
export function hoursCard(title, path, draw, ...inside) {
  const days = /** @type {HTMLSelectElement} */ (
    make(
      "select",
      { name: "days" },
      ...[1, 7, 31].map((n) =>
        make("option", { value: String(n), selected: n === 7 }, phrase("console.days", { count: n })),
      ),
    )
  );
  const download = /** @type {HTMLAnchorElement} */ (
    make("a", { className: "button", download: "" }, phrase("console.csv"))
  );
  const load = async () => {
    const hours = Number(days.value) * 24;
    const to = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS;
    const query = `from=${new Date(to - hours * HOUR_MS).toISOString()}&to=${new Date(to).toISOString()}`;
    download.href = `${root}${path}.csv?${query}`;
    const figures = await call("GET", `${path}?${query}`).catch(() => null);
    // The last figures stay.
    if (figures) draw(figures);
  };
  days.addEventListener("change", load);
  const card = make(
    "section",
    { className: "card wide" },
    make("h2", {}, title),
    ...inside,
    make("div", { className: "line span" }, make("label", {}, phrase("console.span"), days), download),
  );
  const begin = () => {
    load();
    const timer = setInterval(load, LOAD_EVERY_MS);
    atEnd(() => clearInterval(timer));
  };
  return { card, begin };
}
