// What a native part asks of the system it is loaded on: the newest glibc that its symbols name, and the libraries that it is linked to.
import { execFileSync } from 'node:child_process';

const read = (command, args) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });

/** `glibc` as '2.34'; nm and readelf come with every compiler. */
export function systemNeeds(file) {
  const minors = [...read('nm', ['-D', '--undefined-only', file]).matchAll(/@GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  const libraries = [...read('readelf', ['--dynamic', '--wide', file]).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name);
  return { glibc: `2.${Math.max(...minors)}`, libraries: libraries.sort() };
}
