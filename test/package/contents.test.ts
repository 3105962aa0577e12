// What a package holds: what ships and nothing else, the licences of others, and less than the goals for size.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readRepositoryFile, repositoryFiles, repositoryRoot } from '../repo/source-files.js';
import { packageFile } from '../support/package-file.js';
import { readZip } from '../support/zip.js';

const entries = readZip(readFileSync(packageFile));
const names = entries.map(({ name }) => name);
const text = (name: string): string => {
  const entry = entries.find((each) => each.name === name);
  assert.ok(entry, `${name} is in the package`);
  return entry.read().toString();
};

test('a package holds the bundles, the native parts, what VS Code reads, licences, and nothing else', () => {
  const isCudaBuilt = existsSync(path.join(repositoryRoot, 'dist', 'native', 'bitwright-cuda.so'));
  const expected = [
    // Written, or renamed, by vsce.
    '[Content_Types].xml',
    'extension.vsixmanifest',
    ...['LICENSE.txt', 'changelog.md', 'readme.md', 'package.json', 'package.nls.json', 'ThirdPartyNotices.txt', 'l10n/bundle.l10n.json'],
    ...['cli/bitwright.js', 'client/extension.js', 'server/main.js', 'worker/main.js', 'worker/hash-thread.js'].map(
      (name) => `dist/${name}`,
    ),
    ...readdirSync(path.join(path.dirname(packageFile), 'files', 'dist', 'shared')).map((name) => `dist/shared/${name}`),
    ...['report', 'sensitivity', 'comparison', 'run', 'model-file', 'standalone'].flatMap((page) => [
      `dist/webviews/${page}.css`,
      `dist/webviews/${page}.js`,
    ]),
    ...readdirSync(path.join(path.dirname(packageFile), 'files', 'dist', 'webviews'))
      .filter((name) => name.startsWith('shared-'))
      .map((name) => `dist/webviews/${name}`),
    'dist/native/bitwright.node',
    ...(isCudaBuilt ? ['dist/native/bitwright-cuda.so'] : []),
    ...repositoryFiles().filter((name) =>
      /^(client\/(language|images|walkthrough)\/|schemas\/recipe(\/|\.schema\.json$)|docs\/problems\/)/.test(name),
    ),
  ].map((name) => (/^(\[Content|extension\.vsix)/.test(name) ? name : `extension/${name}`));
  assert.deepEqual(names.sort(), expected.sort());
});

test('the manifest names the machines that the native parts are for', () => {
  assert.match(text('extension.vsixmanifest'), new RegExp(`TargetPlatform="linux-${process.arch}"`));
  const { version } = JSON.parse(readRepositoryFile('package.json')) as { version: string };
  assert.match(text('extension.vsixmanifest'), new RegExp(`Id="bitwright" Version="${version.replaceAll('.', '\\.')}"`));
});

test('bundles name no source maps, and no file is of use to its owner alone', () => {
  for (const name of names.filter((each) => each.endsWith('.js'))) assert.ok(!text(name).includes('sourceMappingURL'), name);
  for (const { name, mode } of entries.filter((each) => each.name.startsWith('extension/')))
    if (mode !== 0) assert.equal(mode & 0o444, 0o444, `${name} can be read`);
});

test('the page of the extension has no pictures and links of a folder: VS Code shows none', () => {
  assert.equal(text('extension/readme.md'), readRepositoryFile('client/README.md'));
  assert.deepEqual(text('extension/readme.md').match(/\]\((?!https:)[^)]*\)/g) ?? [], []);
});

test('the licences of everything that others wrote are in it', async () => {
  const script = (name: string): Promise<unknown> => import(pathToFileURL(path.join(repositoryRoot, 'scripts', name)).href);
  const { buildBundles } = (await script('build.mjs')) as {
    buildBundles(options: { outDir: string; sourcemap: false }): Promise<string[]>;
  };
  const { bundledPackages } = (await script('third-party-notices.mjs')) as { bundledPackages(files: string[]): string[] };
  const outDir = 'build/notices';
  const folders = bundledPackages(await buildBundles({ outDir, sourcemap: false }));
  rmSync(path.join(repositoryRoot, outDir), { recursive: true });
  // What the code says it needs when it runs must be among them.
  const { dependencies } = JSON.parse(readRepositoryFile('package.json')) as { dependencies: Record<string, string> };
  for (const name of Object.keys(dependencies)) assert.ok(folders.includes(`node_modules/${name}`), `${name} is bundled`);
  const notices = text('extension/ThirdPartyNotices.txt');
  for (const folder of [...folders, 'node_modules/node-addon-api', 'node_modules/node-api-headers']) {
    const { name, version, license } = JSON.parse(readRepositoryFile(`${folder}/package.json`)) as Record<string, string>;
    assert.ok(notices.includes(`\n${name} ${version} (${license})\n=`), `${name} ${version}`);
  }
  for (const phrase of ['The OpenBLAS Project', 'GCC Runtime Library', 'Permission is hereby granted'])
    assert.ok(notices.includes(phrase), phrase);
});

test('the same files give the same bytes', async () => {
  const { makePackage } = (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'package.mjs')).href)) as {
    makePackage(): Promise<string>;
  };
  const first = readFileSync(await makePackage());
  // Zips count time in steps of two seconds.
  await new Promise((resolve) => setTimeout(resolve, 2100));
  assert.ok(first.equals(readFileSync(await makePackage())));
});

/** Of what is loaded from JavaScript and CSS, in MB; compressed is what an installation downloads. */
test('the bundles stay small', (context) => {
  const bundles = entries.filter(({ name }) => /^extension\/dist\/(?!native\/)/.test(name));
  const total = (sizes: number[]): number => sizes.reduce((sum, size) => sum + size, 0) / 1e6;
  const unpacked = total(bundles.map((entry) => entry.read().length));
  // The worker is a process beside VS Code, around the native core, and the command line is not of VS Code at all.
  const inEditor = total(bundles.filter(({ name }) => !/\/dist\/(worker|cli)\//.test(name)).map((entry) => entry.read().length));
  const compressed = total(bundles.map(({ compressedSize }) => compressedSize));
  const all = total(entries.map((entry) => entry.read().length));
  const file = total([readFileSync(packageFile).length]);
  context.diagnostic(
    `package ${file.toFixed(2)} MB, unpacked ${all.toFixed(2)} MB; its bundles ${compressed.toFixed(2)} MB, unpacked ${unpacked.toFixed(2)} MB, ${inEditor.toFixed(2)} MB without those of worker and command line`,
  );
  assert.ok(compressed < 0.55, `bundles, compressed: ${compressed.toFixed(2)} MB`);
  assert.ok(unpacked < 1.75, `bundles: ${unpacked.toFixed(2)} MB`);
  assert.ok(inEditor < 1.5, `extension, server and webviews: ${inEditor.toFixed(2)} MB`);
});
