// @ts-check
// Refusals of seats, in words for fans.
import { money } from "./money.js";

/** @param {any} problem @param {(seat: string) => string} [nameOf] says where a seat is */
export function explain(problem, nameOf = (id) => id) {
  const body = problem.body ?? {};
  const places = (/** @type {string[] | undefined} */ ids) => (ids ?? []).map(nameOf).join("; ");
  /** @type {Record<string, string>} */
  const words = {
    "seats-taken": `Not available any more: ${places(body.taken)}. The map is up to date again.`,
    "not-enough-seats": "There are not that many seats left there. Try fewer, or another category.",
    "leaves-single-seat": `A single seat would be left over: ${places(body.left)}. Take it too, or choose others.`,
    "too-many-seats": `One fan may have at most ${body.limit} seats.`,
    "unknown-ticket-type": "That type of ticket is not sold any more. Look at your tickets, and go on.",
    "ticket-type-of-another-category": "That type of ticket is for other seats. Look at your tickets, and go on.",
    "too-many-of-ticket-type": `One order may have at most ${body.limit} tickets of the type “${body.ticket_type}”.`,
    "ticket-type-not-alone": `“${body.ticket_type}” is sold only together with a ticket of another type.`,
    "price-changed": `The price has changed since it was shown${body.total ? `: it is ${money(body.total)} now` : ""}. Nothing was ordered: look at it, and go on if you like.`,
    "hold-over": "Your hold ran out and the seats went back. Choose again.",
    "no-such-hold": "Your hold ran out and the seats went back. Choose again.",
    "no-such-order": "Your order could not be made in time. Your seats are still yours: try again.",
    "event-cancelled": `This show was cancelled. ${body.detail ?? ""}`,
    "session-over": "This visit is over. Join the line again for more.",
    "no-session": "This visit is over. Join the line again.",
    overloaded: "Very many people are here at this moment. Nothing was lost; try again.",
    unavailable: "The box office is out of reach for a moment. Nothing was lost; try again.",
    "too-many-requests": "That was too fast. Try again in a moment.",
  };
  return words[problem.kind] || problem.message;
}
