// @ts-check
// A reader of the OpenAPI document: calls by tag, with what they take and answer.
import { $, call } from "./api.js";
import { make } from "./make.js";

/** @type {any} */
let document_;

/** A schema as an example of its shape. @param {any} schema @param {number} depth @returns {any} */
function shape(schema, depth = 0) {
  if (!schema || depth > 6) return null;
  if (schema.$ref) return shape(document_.components.schemas[schema.$ref.split("/").pop()], depth + 1);
  for (const many of ["oneOf", "anyOf", "allOf"])
    if (schema[many])
      return shape(
        schema[many].find((/** @type {any} */ s) => s.type !== "null"),
        depth,
      );
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.properties)
    return Object.fromEntries(
      Object.entries(schema.properties).map(([name, inner]) => [name, shape(inner, depth + 1)]),
    );
  const type = [schema.type].flat().filter((t) => t !== "null")[0];
  return type === "array" ? [shape(schema.items, depth + 1)] : schema.format || type || {};
}

/** @param {any} content */
const example = (content) => make("pre", {}, JSON.stringify(shape(Object.values(content)[0]?.schema), null, 2));

function show() {
  /** @type {Record<string, HTMLElement[]>} */
  const tags = {};
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, what] of Object.entries(/** @type {any} */ (methods))) {
      const inside = [
        make(
          "summary",
          {},
          make("span", { className: "method" }, method.toUpperCase()),
          make("code", {}, path),
          make("span", { className: "soft" }, what.summary || what.description || ""),
        ),
      ];
      const who = (what.security || [])
        .map((/** @type {any} */ s) => Object.keys(s)[0])
        .filter(Boolean)
        .join(" or ");
      if (who) inside.push(make("p", {}, `Authorization: Bearer, with the ${who}`));
      if (what.requestBody) inside.push(make("p", {}, "Takes"), example(what.requestBody.content));
      for (const [status, answer] of Object.entries(what.responses)) {
        if (Number(status) >= 300) continue;
        inside.push(make("p", {}, `Answers ${status} ${/** @type {any} */ (answer).description || ""}`));
        if (/** @type {any} */ (answer).content) inside.push(example(/** @type {any} */ (answer).content));
      }
      (tags[what.tags?.[0] || "other"] ??= []).push(make("details", {}, ...inside));
    }
  }
  $("calls").replaceChildren(...Object.entries(tags).flatMap(([tag, calls]) => [make("h2", {}, tag), ...calls]));
}

call("GET", "/api/openapi.json").then(
  (found) => {
    document_ = found;
    show();
  },
  (problem) => {
    $("calls").replaceChildren(make("p", { className: "bad", role: "alert" }, `${problem.message}. Reload this page.`));
  },
);
