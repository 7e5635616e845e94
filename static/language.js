// @ts-check
// The page's language on the pages that follow.

/**
 * An address of ours with the page's language, where that is another than English or stands in the page's own address:
 * the browser may keep no cookie.
 * @param {string} path
 */
export function inLanguage(path) {
  const language = document.documentElement.lang;
  const isPlain = language === "en" && !new URLSearchParams(location.search).has("lang");
  return isPlain ? path : `${path}${path.includes("?") ? "&" : "?"}lang=${language}`;
}
