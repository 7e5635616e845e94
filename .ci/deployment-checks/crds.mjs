// Checks documents of custom resources: the values by the schemas' own validators, unknown keys by
// the types, which TypeScript refuses in a literal. Reads JSON from standard input; runs in a folder
// that has the packages.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const packages = {
  'keda.sh': 'keda',
  'monitoring.coreos.com': 'prometheus-operator',
  'gateway.networking.k8s.io': 'gateway-api',
  'cert-manager.io': 'cert-manager',
  'external-secrets.io': 'external-secrets',
};
const folder = process.cwd();
const { resolve } = createRequire(`${folder}/package.json`);
const documents = JSON.parse(readFileSync(0, 'utf8'));
const mistakes = [];
const lines = [];
for (const [at, document] of documents.entries()) {
  const [group, version] = document.apiVersion.split('/');
  const module = `@kubernetes-models/${packages[group]}/${group}/${version}/${document.kind}`;
  const name = `${document.kind}/${document.metadata?.name}`;
  const model = (await import(pathToFileURL(`${folder}/node_modules/${module}.js`)))[document.kind];
  try { new model(document).validate(); } catch (error) { mistakes.push(`${name}: ${error.message}`); }
  lines.push(`import type { I${document.kind} as T${at} } from '${module}';`);
  lines.push(`// ${name}`, `export const d${at}: T${at} = ${JSON.stringify(document, null, 1)};`);
}
writeFileSync('documents.ts', lines.join('\n'));
const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022', 'documents.ts'];
try { execFileSync('node', [resolve('typescript/bin/tsc'), ...options], { encoding: 'utf8' }); } catch (error) { mistakes.push(error.stdout); }
if (mistakes.length > 0) { console.error(mistakes.join('\n')); process.exit(1); }
console.log(`${documents.length} documents of custom resources are valid`);
