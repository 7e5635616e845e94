// @ts-check
// Refusals of seats, in words for fans.

/** @param {any} problem @param {(seat: string) => string} [nameOf] says where a seat is */
export function explain(problem, nameOf = (id) => id) {
  const body = problem.body ?? {};
  const places = (/** @type {string[] | undefined} */ ids) => (ids ?? []).map(nameOf).join("; ");
  /** @type {Record<string, string>} */
  const words = {
    "seats-taken": `Just taken: ${places(body.taken)}. The map is up to date again.`,
    "not-enough-seats": "There are not that many seats left there. Try fewer, or another category.",
    "leaves-single-seat": `A single seat would be left over: ${places(body.left)}. Take it too, or choose others.`,
    "too-many-seats": `One fan may have at most ${body.limit} seats.`,
    "hold-over": "Your hold ran out and the seats went back. Choose again.",
    "no-such-hold": "Your hold ran out and the seats went back. Choose again.",
    "no-such-order": "Your order could not be made in time. Your seats are still yours: try again.",
    "session-over": "This visit is over. Join the line again for more.",
    "no-session": "This visit is over. Join the line again.",
    overloaded: "Very many people are here at this moment. Nothing was lost; try again.",
    unavailable: "The box office is out of reach for a moment. Nothing was lost; try again.",
    "too-many-requests": "That was too fast. Try again in a moment.",
  };
  return words[problem.kind] || problem.message;
}
