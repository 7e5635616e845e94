// @ts-check
// Tells a fan that it is their turn, also while no page is open, and leads to the line. It takes part in no request.

const notifier = /** @type {any} */ (self);
/** Address of the installation, under which this file was found. */
const installation = new URL("..", notifier.location.href).href;

notifier.addEventListener("push", (/** @type {any} */ pushed) => {
  if (pushed.data) pushed.waitUntil(showTurn(pushed.data.json()));
});

notifier.addEventListener("notificationclick", (/** @type {any} */ clicked) => {
  clicked.notification.close();
  clicked.waitUntil(openLine(`${installation}e/${encodeURIComponent(clicked.notification.data.event)}`));
});

/** One notification of an event: a message that comes twice replaces itself. @param {any} message */
function showTurn({ event, title, body, language }) {
  const options = { body, lang: language, tag: `turn-${event}`, requireInteraction: true, data: { event } };
  return notifier.registration.showNotification(title, options);
}

/** Shows the page of the line, in its own tab if there is one. @param {string} page */
async function openLine(page) {
  const tabs = await notifier.clients.matchAll({ type: "window", includeUncontrolled: true });
  const own = tabs.find((/** @type {any} */ tab) => tab.url.split(/[?#]/)[0] === page);
  return own ? own.focus() : notifier.clients.openWindow(page);
}
