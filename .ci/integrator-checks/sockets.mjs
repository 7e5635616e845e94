// Parses an AsyncAPI document and prints what the parser finds wrong, as one JSON list.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, path] = process.argv.slice(2);
const { Parser } = createRequire(join(modules, "x"))("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"));
const found = diagnostics.map(({ code, message, path }) => `${code} at ${path.join(".")}: ${message}`);
console.log(JSON.stringify(document ? found : ["no document", ...found]));
