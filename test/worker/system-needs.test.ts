// What the native parts ask of a system: a glibc no newer than the README says, and no library that VS Code does not need itself.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repositoryRoot, readRepositoryFile } from '../repo/source-files.js';

/** As in the pages for users; Red Hat Enterprise Linux 9 has it, Ubuntu 22.04 and Debian 12 have newer ones. */
const promised = '2.34';
/** Symbols get the version of the glibc that they are linked against: a newer one than here may ask for more, and packages are not made there. */
const newestToBuildOn = 36;

const built = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
const glibc = built.header.glibcVersionRuntime ?? '';
const skip =
  Number(glibc.split('.')[1]) <= newestToBuildOn
    ? false
    : `built on glibc ${glibc || 'unknown'}; packages are made on 2.${newestToBuildOn}`;

const allowed = /^(libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|ld-linux-(x86-64|aarch64)\.so\.\d|lib(dl|pthread|rt)\.so\.\d)$/;

for (const name of ['bitwright.node', 'bitwright-cuda.so']) {
  const file = path.join(repositoryRoot, 'dist', 'native', name);
  // Without nvcc there is no CUDA library.
  if (name !== 'bitwright.node' && !existsSync(file)) continue;
  test(`${name} loads with glibc ${promised}, and links to nothing but glibc and libgcc`, { skip }, async () => {
    const { systemNeeds } = (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'system-needs.mjs')).href)) as {
      systemNeeds(file: string): { glibc: string; libraries: string[] };
    };
    const needs = systemNeeds(file);
    assert.ok(Number(needs.glibc.slice(2)) <= Number(promised.slice(2)), `asks for glibc ${needs.glibc}`);
    assert.deepEqual(
      needs.libraries.filter((library) => !allowed.test(library)),
      [],
    );
  });
}

test('the pages for users say so', () => {
  for (const page of ['README.md', 'client/README.md']) assert.ok(readRepositoryFile(page).includes(`glibc ${promised}`), page);
});
