// package.json and the sources say the same: commands, settings, files, what ships.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { readRepositoryFile, repositoryRoot } from './source-files.js';

interface Manifest {
  main: string;
  icon: string;
  bin: Record<string, string>;
  contributes: {
    commands: { command: string }[];
    menus: Record<string, { command: string }[]>;
    configuration: { properties: Record<string, unknown> };
    languages: { id: string; configuration: string; icon: Record<string, string> }[];
    grammars: { path: string }[];
    walkthroughs: { steps: { description: string; media: { markdown: string } }[] }[];
    yamlValidation: { url: string }[];
  };
}
const manifest = JSON.parse(readRepositoryFile('package.json')) as Manifest;
const { contributes } = manifest;
const contributed = contributes.commands.map(({ command }) => command).sort();

/** The values of a constant object of client/src/manifest.ts. */
function constants(name: string): string[] {
  const body = new RegExp(`export const ${name} = \\{([^}]*)\\}`).exec(readRepositoryFile('client/src/manifest.ts'))?.[1] ?? '';
  return [...body.matchAll(/'([^']+)'/g)].map((match) => match[1] ?? '').sort();
}

test('every contributed command is registered, and no other', () => {
  assert.deepEqual(constants('commands'), contributed);
  const extension = readRepositoryFile('client/src/extension.ts');
  const names = [...readRepositoryFile('client/src/manifest.ts').matchAll(/(\w+): 'bitwright\.\w+'/g)].map((match) => match[1] ?? '');
  for (const name of names.filter(
    (candidate) => extension.includes('commands.') && constants('commands').includes(`bitwright.${candidate}`),
  ))
    assert.ok(extension.includes(`register(commands.${name},`), name);
});

test('menus and walkthroughs name contributed commands', () => {
  for (const { command } of Object.values(contributes.menus).flat()) assert.ok(contributed.includes(command), command);
  for (const { description } of contributes.walkthroughs.flatMap(({ steps }) => steps))
    for (const [, command = ''] of description.matchAll(/\(command:([\w.]+)\)/g)) assert.ok(contributed.includes(command), command);
});

test('every setting is read, by the extension or by the language server', () => {
  const read = [...constants('settings'), ...serverSettings()].sort();
  assert.deepEqual(read, Object.keys(contributes.configuration.properties).sort());
});

function serverSettings(): string[] {
  const kinds = /inlayHintKinds = \[([^\]]*)\]/.exec(readRepositoryFile('server/src/features/inlay-hints.ts'))?.[1] ?? '';
  const hints = [...kinds.matchAll(/'(\w+)'/g)].map((match) => `bitwright.inlayHints.${match[1]}`);
  assert.match(readRepositoryFile('server/src/lsp/server-settings.ts'), /fields\['problems'\]\)\['severity'\]/);
  return [...hints, 'bitwright.problems.severity'];
}

test('every file that the manifest names is there after a build, and ships', async () => {
  const { packagedFiles } = (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'vscode.mjs')).href)) as {
    packagedFiles(): string[];
  };
  const shipped = packagedFiles();
  const named = [
    manifest.main,
    manifest.icon,
    ...Object.values(manifest.bin),
    ...contributes.languages.flatMap(({ configuration, icon }) => [configuration, ...Object.values(icon)]),
    ...contributes.grammars.map((grammar) => grammar.path),
    ...contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.markdown)),
    ...contributes.yamlValidation.map(({ url }) => url),
    'dist/server/main.js',
    'dist/worker/main.js',
    'dist/native/bitwright.node',
    'dist/webviews/report.js',
    'dist/webviews/report.css',
  ].map((name) => path.normalize(name));
  for (const name of named) {
    assert.ok(existsSync(path.join(repositoryRoot, name)), `${name} is there`);
    assert.ok(shipped.includes(name), `${name} ships`);
  }
  assert.deepEqual(
    shipped.filter((name) => !existsSync(path.join(repositoryRoot, name))),
    [],
  );
  const foreign = shipped.filter((name) => /(^|\/)(test|examples|node_modules|src|scripts)\//.test(name) || /\.(map|ts|cc)$/.test(name));
  assert.deepEqual(foreign, []);
});

test('the parts of the published recipe schema are there', () => {
  const schema = readRepositoryFile('schemas/recipe.schema.json');
  for (const [, reference = ''] of schema.matchAll(/"\$ref": "([^"#]+)"/g))
    assert.ok(existsSync(path.join(repositoryRoot, 'schemas', reference)), reference);
});
