// package.json and the sources say the same: commands, settings, files, what ships.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { modelFileFormats } from '../../schemas/src/model/model-file.js';
import { MOST_THREADS } from '../../schemas/src/protocol/client-worker.js';
import { readRepositoryFile, repositoryFiles, repositoryRoot, typescriptFiles } from './source-files.js';

interface Manifest {
  engines: { vscode: string };
  devDependencies: Record<string, string>;
  activationEvents: string[];
  main: string;
  icon: string;
  bin: Record<string, string>;
  contributes: {
    commands: { command: string }[];
    menus: Record<string, { command: string }[]>;
    configuration: { properties: Record<string, unknown> };
    languages: { id: string; configuration: string; icon: Record<string, string> }[];
    grammars: { language: string; scopeName: string; path: string }[];
    walkthroughs: { steps: { description: string; media: { markdown: string }; completionEvents: string[] }[] }[];
    yamlValidation: { url: string }[];
    viewsContainers: { activitybar: { id: string; icon: string }[] };
    views: Record<string, { id: string }[]>;
    customEditors: { viewType: string; selector: { filenamePattern: string }[] }[];
  };
}
const texts = JSON.parse(readRepositoryFile('package.nls.json')) as Record<string, string>;
/** With its texts in place, as VS Code reads it. */
const manifest = JSON.parse(readRepositoryFile('package.json'), (_, value: unknown) =>
  typeof value === 'string' ? (texts[/^%(.*)%$/.exec(value)?.[1] ?? ''] ?? value) : value,
) as Manifest;
const { contributes } = manifest;
const contributed = contributes.commands.map(({ command }) => command).sort();

/** The values of a constant object of client/src/manifest.ts. */
function constants(name: string): string[] {
  const body = new RegExp(`export const ${name} = \\{([^}]*)\\}`).exec(readRepositoryFile('client/src/manifest.ts'))?.[1] ?? '';
  return [...body.matchAll(/'([^']+)'/g)].map((match) => match[1] ?? '').sort();
}

test('the most threads of the setting and of a recipe are those that the worker takes', () => {
  const setting = contributes.configuration.properties['bitwright.threads'] as { maximum: number };
  const recipe = JSON.parse(readRepositoryFile('schemas/recipe.schema.json')) as { properties: { threads: { maximum: number } } };
  const native = /most_threads = (\d+);/.exec(readRepositoryFile('worker/native/core/pool.h'))?.[1];
  assert.deepEqual([setting.maximum, recipe.properties.threads.maximum, Number(native)], [MOST_THREADS, MOST_THREADS, MOST_THREADS]);
});

test('every contributed command is registered, and no other', () => {
  assert.deepEqual(constants('commands'), contributed);
  const named = [...readRepositoryFile('client/src/manifest.ts').matchAll(/(\w+): 'bitwright\.(\w+)'/g)];
  const keys = named.flatMap(([, key = '', id = '']) => (contributed.includes(`bitwright.${id}`) ? [key] : []));
  const registered = [...readRepositoryFile('client/src/extension.ts').matchAll(/\bregister\(commands\.(\w+),/g)].map(
    ([, key = '']) => key,
  );
  assert.deepEqual(registered.sort(), keys.sort());
});

test('ids of the manifest are written in client/src/manifest.ts alone; others name what it contributes', () => {
  const known = new Set([...contributed, ...Object.keys(contributes.configuration.properties), ...constants('contextKeys')]);
  for (const name of typescriptFiles().filter((file) => /^(client|server|schemas)\//.test(file) && file !== 'client/src/manifest.ts'))
    // The id of a status bar item is not contributed.
    for (const [, id = ''] of readRepositoryFile(name).matchAll(/(?<!createStatusBarItem\()'(bitwright\.[\w.]+)'/g)) {
      assert.ok(known.has(id), `${name} names ${id}, which package.json does not contribute`);
      assert.ok(!name.startsWith('client/'), `${name} writes ${id} out; use the constant of client/src/manifest.ts`);
    }
});

test('when clauses use context keys that the extension sets', () => {
  const text = readRepositoryFile('package.json');
  const used = new Set(
    [...text.matchAll(/"(?:when|enablement)": "([^"]*)"/g)].flatMap(([, clause = '']) =>
      // Which view a menu belongs to is no key of ours.
      (clause.match(/(?<!(?:view|focusedView) == )bitwright\.[\w.]+/g) ?? []).filter((key) => key.startsWith('bitwright.')),
    ),
  );
  assert.deepEqual([...used].sort(), constants('contextKeys'));
});

test('the language that activates the extension is the one it contributes', () => {
  const [language] = contributes.languages;
  // Pages that are opened again with the window; a custom editor is known by what it contributes.
  const editors = contributes.customEditors.map(({ viewType }) => `onWebviewPanel:${viewType}`);
  const panels = [...readRepositoryFile('client/src/manifest.ts').matchAll(/_VIEW = '([\w.]+)'/g)].map(
    ([, id = '']) => `onWebviewPanel:${id}`,
  );
  const restored = panels.filter((event) => !editors.includes(event)).sort();
  assert.deepEqual([...manifest.activationEvents].sort(), [`onLanguage:${language?.id}`, ...restored]);
  assert.deepEqual(
    contributes.grammars.map((grammar) => grammar.language),
    [language?.id],
  );
  assert.ok(readRepositoryFile('client/src/manifest.ts').includes(`LANGUAGE_ID = '${language?.id}'`));
  const grammar = JSON.parse(readRepositoryFile(contributes.grammars[0]?.path ?? '')) as { scopeName: string };
  assert.equal(grammar.scopeName, contributes.grammars[0]?.scopeName);
  for (const clause of readRepositoryFile('package.json').matchAll(/resourceLangId == ([\w-]+)/g)) assert.equal(clause[1], language?.id);
});

test('the types of VS Code are those of the oldest version that is supported', () => {
  assert.equal(manifest.engines.vscode, `^${manifest.devDependencies['@types/vscode']}.0`);
});

test('views and custom editors are those of client/src/manifest.ts, and show every ending that is read', () => {
  assert.deepEqual(
    Object.values(contributes.views).flatMap((shown) => shown.map(({ id }) => id)),
    constants('views'),
  );
  assert.deepEqual(
    Object.keys(contributes.views),
    contributes.viewsContainers.activitybar.map(({ id }) => id),
  );
  const [editor] = contributes.customEditors;
  assert.ok(readRepositoryFile('client/src/manifest.ts').includes(`MODEL_FILE_VIEW = '${editor?.viewType}'`));
  assert.deepEqual(
    editor?.selector.map(({ filenamePattern }) => filenamePattern.slice(1)),
    Object.keys(modelFileFormats),
  );
});

test('menus and walkthroughs name contributed commands, and pages that there are', () => {
  // VS Code's own.
  const commands = [...contributed, 'workbench.actions.view.problems'];
  for (const { command } of Object.values(contributes.menus).flat()) assert.ok(contributed.includes(command), command);
  for (const { description } of contributes.walkthroughs.flatMap(({ steps }) => steps))
    for (const [, command = ''] of description.matchAll(/\(command:([\w.]+)\)/g)) assert.ok(commands.includes(command), command);
  const pages = [...readRepositoryFile('client/src/manifest.ts').matchAll(/_VIEW = '([\w.]+)'/g)].map(([, id = '']) => id);
  const known = [
    ...commands.map((command) => `onCommand:${command}`),
    ...pages.map((id) => `onContext:activeWebviewPanelId == '${id}'`),
    ...contributes.languages.map(({ id }) => `onContext:resourceLangId == ${id}`),
  ];
  for (const event of contributes.walkthroughs.flatMap(({ steps }) => steps.flatMap(({ completionEvents }) => completionEvents)))
    assert.ok(known.includes(event), event);
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
    'dist/worker/hash-thread.js',
    'dist/native/bitwright.node',
    ...['report', 'sensitivity', 'comparison', 'run', 'model-file', 'standalone'].flatMap((page) => [
      `dist/webviews/${page}.js`,
      `dist/webviews/${page}.css`,
    ]),
    ...contributes.viewsContainers.activitybar.map(({ icon }) => icon),
  ].map((name) => path.normalize(name));
  for (const name of named) {
    assert.ok(existsSync(path.join(repositoryRoot, name)), `${name} is there`);
    assert.ok(shipped.includes(name), `${name} ships`);
  }
  assert.deepEqual(
    shipped.filter((name) => !existsSync(path.join(repositoryRoot, name))),
    [],
  );
});

/** What ships, by reading .vscodeignore as the packager does: a file stays out where a plain pattern fits, unless one with ! fits too. */
function shippedFiles(): string[] {
  const patterns = readRepositoryFile('.vscodeignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const expressions = (lines: string[]): RegExp[] => lines.map(expressionOf);
  const denied = expressions(patterns.filter((line) => !line.startsWith('!')));
  const allowed = expressions(patterns.filter((line) => line.startsWith('!')).map((line) => line.slice(1)));
  const fits = (name: string, list: RegExp[]): boolean => list.some((expression) => expression.test(name));
  return allFiles('').filter((name) => !fits(name, denied) || fits(name, allowed));
}

/** `**` is any path, `*` anything within a folder. */
const expressionOf = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replace(/\*\*|\*|[.+?^$()|[\]{}\\]/g, (part) => (part === '**' ? '.*' : part === '*' ? '[^/]*' : `\\${part}`))}$`);

function allFiles(folder: string): string[] {
  return readdirSync(path.join(repositoryRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return name === 'node_modules' || name === '.git' ? [] : allFiles(name);
    return entry.isFile() ? [name] : [];
  });
}

test('what ships is the bundles, what they and VS Code read, and nothing else', async () => {
  const shipped = shippedFiles().sort();
  const expected = [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'dist/cli/bitwright.js',
    'dist/client/extension.js',
    // Built where nvcc is.
    ...['dist/native/bitwright-cuda.so'].filter((name) => existsSync(path.join(repositoryRoot, name))),
    'dist/native/bitwright.node',
    'dist/server/main.js',
    // What several processes need, and what is read later, by what is in it.
    ...readdirSync(path.join(repositoryRoot, 'dist/shared'))
      .filter((name) => name.endsWith('.js'))
      .map((name) => `dist/shared/${name}`),
    // What pages share, by what is in it.
    ...readdirSync(path.join(repositoryRoot, 'dist/webviews'))
      .filter((name) => /^shared-\w+\.js$/.test(name))
      .map((name) => `dist/webviews/${name}`),
    'dist/webviews/comparison.css',
    'dist/webviews/comparison.js',
    'dist/webviews/model-file.css',
    'dist/webviews/model-file.js',
    'dist/webviews/report.css',
    'dist/webviews/report.js',
    'dist/webviews/run.css',
    'dist/webviews/run.js',
    'dist/webviews/sensitivity.css',
    'dist/webviews/sensitivity.js',
    'dist/webviews/standalone.css',
    'dist/webviews/standalone.js',
    'dist/worker/main.js',
    'dist/worker/hash-thread.js',
    'l10n/bundle.l10n.json',
    'package.json',
    'package.nls.json',
    ...repositoryFiles().filter((name) =>
      /^(client\/(language|images|walkthrough)\/|schemas\/recipe(\/|\.schema\.json$)|docs\/problems\/)/.test(name),
    ),
  ].sort();
  assert.deepEqual(shipped, expected);
  for (const name of shipped)
    if (/\.(js|node|so)$/.test(name)) assert.ok(statSync(path.join(repositoryRoot, name)).size > 0, `${name} is empty`);
  const { packagedFiles } = (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'vscode.mjs')).href)) as {
    packagedFiles(): string[];
  };
  assert.deepEqual(packagedFiles().sort(), shipped, 'the folder that VS Code is tested with is what ships');
});

test('the parts of the published recipe schema are there, each reached from the entry', () => {
  const reached = new Set<string>();
  const visit = (name: string): void => {
    if (reached.has(name)) return;
    reached.add(name);
    for (const [, reference = ''] of readRepositoryFile(name).matchAll(/"\$ref": "([^"#]+)/g)) {
      const target = path.posix.join(path.posix.dirname(name), reference);
      assert.ok(existsSync(path.join(repositoryRoot, target)), `${name} refers to ${target}, which is not there`);
      visit(target);
    }
  };
  visit('schemas/recipe.schema.json');
  assert.deepEqual(
    [...reached].sort(),
    repositoryFiles().filter((name) => /^schemas\/recipe(\/|\.schema\.json$)/.test(name)),
  );
});
