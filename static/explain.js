// @ts-check
// Refusals, in words for fans.
import { phrase } from "./api.js";
import { money } from "./money.js";

/** @param {any} problem @param {(seat: string) => string} [nameOf] says where a seat is */
export function explain(problem, nameOf = (id) => id) {
  const body = problem.body ?? {};
  const places = (/** @type {string[] | undefined} */ ids) => (ids ?? []).map(nameOf).join("; ");
  const total = body.total ? money(body.total) : "";
  const values = { ...body, taken: places(body.taken), left: places(body.left), total, count: body.limit };
  const isOfNetwork = problem.kind === "too-many-declines" && !body.limit;
  const further = problem.kind === "price-changed" && total ? "-to" : isOfNetwork ? "-here" : "";
  const key = `${problem.kind}${further}`;
  return phrase(`refusal.${key}`, values) || problem.message;
}
