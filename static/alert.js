// @ts-check
// Tells a fan whose turn it is while the page is out of sight. Loaded then, as nothing depends on it.
import { optional, phrase } from "./api.js";

/** The turn: a sound and a notification, where they are allowed. */
export function callOut(/** @type {string} */ event) {
  // Browsers refuse it on a page that was never touched.
  optional(() => navigator.userActivation?.hasBeenActive && navigator.vibrate?.(300));
  optional(playSound);
  optional(
    () => Notification.permission === "granted" && new Notification(phrase("queue.admitted.heading"), { body: event }),
  );
}

function playSound() {
  const audio = new AudioContext();
  for (const [at, pitch] of [
    [0, 660],
    [0.2, 880],
  ]) {
    const tone = audio.createOscillator(),
      volume = audio.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.2, audio.currentTime + at);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + at + 0.6);
    tone.connect(volume).connect(audio.destination);
    tone.start(audio.currentTime + at);
    tone.stop(audio.currentTime + at + 0.6);
  }
}
