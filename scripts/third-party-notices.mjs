// The licences of what a package holds and others wrote: npm packages inside the bundles, and libraries inside the native parts.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { SetupError, root } from './setup.mjs';

/** Folders (relative to the root) of the npm packages that bundled files come from. */
export function bundledPackages(files) {
  const folders = files.map((name) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(name)?.[0]);
  return [...new Set(folders)].filter((folder) => folder !== undefined).sort();
}

/** Their headers are compiled into the addon. */
const nativePackages = ['node_modules/node-addon-api', 'node_modules/node-api-headers'];

function npmNotice(folder) {
  const { name, version, license } = JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8'));
  const texts = readdirSync(path.join(root, folder)).filter((file) =>
    /^(licen[cs]e|copying|notice|third-?party-?notices)(\.\w+)?$/i.test(file),
  );
  if (texts.length === 0)
    throw new SetupError(`The licence of ${name} ${version} is not in ${folder}: a package may not be made without its text.`);
  return { title: `${name} ${version} (${license})`, text: texts.map((file) => readText(path.join(root, folder, file))).join('\n\n') };
}

const readText = (file) => readFileSync(file, 'utf8').replace(/\r\n?/g, '\n').trim();

/** Debian's record of a library's licences; the library is linked into the addon. */
function openblasNotice() {
  const file = '/usr/share/doc/libopenblas-pthread-dev/copyright';
  if (!existsSync(file))
    throw new SetupError(
      `The licence of OpenBLAS is not at ${file}, where Debian's package libopenblas-pthread-dev puts it: a package may not be made without its text.`,
    );
  const version = execFileSync('dpkg-query', ['--show', '--showformat=${Version}', 'libopenblas-pthread-dev'], { encoding: 'utf8' });
  return { title: `OpenBLAS, Debian package libopenblas-pthread-dev ${version} (BSD-3-Clause and others)`, text: readText(file) };
}

const compilerNotice = {
  title: 'GCC runtime libraries',
  text: `Parts of libstdc++ and libgcc are linked into the native parts, under the GNU General Public License, version 3, with the GCC Runtime Library
Exception, version 3.1. The exception permits to convey the result under terms of one's choice.`,
};

const cudaNotice = {
  title: 'NVIDIA CUDA Runtime',
  text: `dist/native/bitwright-cuda.so holds NVIDIA's static CUDA runtime library (cudart_static), which attachment A of the License Agreement for NVIDIA
Software Development Kits, CUDA Toolkit supplement, lists among the files that may be redistributed with an application. Copyright NVIDIA Corporation.`,
};

const rule = '='.repeat(100);

/** The text of ThirdPartyNotices.txt. */
export function thirdPartyNotices(bundledFiles, { hasCuda }) {
  const notices = [
    ...[...bundledPackages(bundledFiles), ...nativePackages].map(npmNotice),
    openblasNotice(),
    compilerNotice,
    ...(hasCuda ? [cudaNotice] : []),
  ];
  const head = `Bitwright is under the Apache License 2.0 (LICENSE). It holds parts of the following works, each under its own licence.\n\n${notices.map(({ title }) => `- ${title}`).join('\n')}\n`;
  return `${head}\n${notices.map(({ title, text }) => `${rule}\n${title}\n${rule}\n\n${text}\n`).join('\n')}`;
}
