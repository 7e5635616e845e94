// @ts-check
// Texts of the queue page for browsers that do not send our cookies back.
import { $, phrase, root } from "./api.js";

/** Returns whether this tab can hand something on to its next page. */
function hasStorage() {
  try {
    sessionStorage.setItem("probe", "");
    sessionStorage.removeItem("probe");
    return true;
  } catch {
    return false;
  }
}

/** @param {string} event */
export function warn(event) {
  // Our own checkout does without cookies, by what the tab keeps; a gate in front of another site does not.
  const canGo = hasStorage() && $("go").getAttribute("href").split("?")[0] === `${root}/e/${event}/seats`;
  const text = phrase(canGo ? "later.cookies.kept" : "later.cookies.needed");
  // A text that is set anew is read out anew.
  if ($("cookies").textContent !== text) $("cookies").textContent = text;
  $("cookies").hidden = false;
  if (!canGo) $("go").hidden = true;
}
