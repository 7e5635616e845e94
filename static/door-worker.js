// @ts-check
// Opens the door's page where there is no connection, as it was when there was one: in the language of the last time.

const worker = /** @type {any} */ (self);

worker.addEventListener("activate", (/** @type {any} */ activated) => activated.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (/** @type {any} */ asked) => {
  const { pathname } = new URL(asked.request.url);
  const isOurs = pathname.includes("/static/") || pathname.includes("/door/");
  if (asked.request.method === "GET" && isOurs) asked.respondWith(answer(asked.request));
});

/** @param {Request} request */
async function answer(request) {
  const kept = await caches.open("door-page");
  // A page is kept without its query, such as its language.
  const { origin, pathname } = new URL(request.url);
  const name = origin + pathname;
  try {
    const response = await fetch(request);
    if (response.ok) await kept.put(name, response.clone());
    return response;
  } catch (error) {
    const found = await kept.match(name);
    if (found) return found;
    throw error;
  }
}
