// @ts-check
// Subscribes this browser to the notification that it is the fan's turn, and hands the subscription over with the place.
import { $, call, kept, phrase } from "./api.js";

const { event = "", key = "" } = document.body.dataset;
const path = `/api/v1/events/${event}/line/me/push`;
const bearer = kept(`pass-${event}`);
const worker = new URL("push-worker.js", import.meta.url);

/** @param {string} name of a text */
function say(name) {
  $("push-note").hidden = false;
  $("push-note").textContent = phrase(name);
}

/** Registers the worker under a path of its own, where it controls no page, and waits until it works. */
async function registered() {
  const registration = await navigator.serviceWorker.register(worker, { scope: new URL("push/", worker).pathname });
  const coming = registration.installing ?? registration.waiting;
  if (!registration.active && coming)
    await new Promise((done) =>
      coming.addEventListener("statechange", () => coming.state === "activated" && done(null)),
    );
  return registration;
}

/** Subscribes with the key of the site; a subscription with an earlier key is ended. */
async function subscription() {
  const { pushManager } = await registered();
  const options = { userVisibleOnly: true, applicationServerKey: key };
  try {
    return await pushManager.subscribe(options);
  } catch (problem) {
    const old = await pushManager.getSubscription();
    if (!old) throw problem;
    await old.unsubscribe();
    return pushManager.subscribe(options);
  }
}

async function notify() {
  if ((await Notification.requestPermission()) !== "granted") return say("push.denied");
  const { endpoint, keys } = (await subscription()).toJSON();
  await call("PUT", path, { bearer, body: { endpoint, keys, language: document.documentElement.lang } });
  say("push.on");
}

async function withdraw() {
  await call("DELETE", path, { bearer });
  say("push.off");
}

/** @param {HTMLElement} button @param {() => Promise<void>} act */
function onPress(button, act) {
  button.addEventListener("click", async () => {
    try {
      await act();
    } catch (problem) {
      const { status } = /** @type {any} */ (problem);
      const isOver = status === 401 || status === 409;
      say(isOver ? "push.over" : status === 429 ? "push.many" : "push.failed");
    }
  });
}

const isAble = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
if (key && isAble) {
  $("push").hidden = false;
  onPress($("push-on"), notify);
  onPress($("push-off"), withdraw);
} else if (key) say("push.none");
