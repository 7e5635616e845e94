// @ts-check
// The page's language on the pages that follow.

/** An address of ours with the page's language, where that is another than English. @param {string} path */
export function inLanguage(path) {
  const language = document.documentElement.lang;
  return language === "en" ? path : `${path}${path.includes("?") ? "&" : "?"}lang=${language}`;
}
