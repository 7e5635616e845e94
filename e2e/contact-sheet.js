// Puts the screenshots of the browser tests onto contact sheets, shots/contact-sheet-1.png and so on, for a
// person to look at. Fails if the tests left fewer states of the pages than they should.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { launch } from "./browser.js";

const folder = new URL("./shots/", import.meta.url).pathname;
/** Fewest states of pages of which the tests take a picture. */
const STATES_MIN = 60;
/** Pictures on a sheet. */
const SHEET = 20;

const files = readdirSync(folder).sort();
for (const old of files.filter((name) => name.startsWith("contact-sheet"))) rmSync(folder + old);
const states = files.filter((name) => name.endsWith(".png") && !name.startsWith("contact-sheet"));
assert.ok(states.length >= STATES_MIN, `${states.length} states of ${STATES_MIN} have a picture`);

const figure = (/** @type {string} */ name) =>
  `<figure><img src="data:image/png;base64,${readFileSync(folder + name, "base64")}"><figcaption>${name.slice(0, -4)}</figcaption></figure>`;
const style = `body { display: grid; grid-template-columns: repeat(5, 1fr); gap: 12px; margin: 12px; font: 14px sans-serif }
  figure { margin: 0 } img { width: 100%; height: 420px; object-fit: contain; object-position: top; background: #ddd }`;

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1800, height: 1000 } });
for (let from = 0; from < states.length; from += SHEET) {
  const figures = states.slice(from, from + SHEET).map(figure);
  await page.setContent(`<!doctype html><title>Contact sheet</title><style>${style}</style>${figures.join("")}`);
  await page.waitForFunction(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0));
  await page.screenshot({ path: `${folder}contact-sheet-${from / SHEET + 1}.png`, fullPage: true });
}
await browser.close();
console.log(`${states.length} states on contact sheets in e2e/shots`);
