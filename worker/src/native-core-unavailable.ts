// Why the native core could not be loaded on this machine, and what helps: the system's own words name a symbol or an ELF header.
import { runFailure, type RunFailureError } from '../../schemas/src/run-failure.js';

export interface LoadFailure {
  file: string;
  exists: boolean;
  /** What the system said when it was to load the file. */
  detail: string;
  platform: string;
  arch: string;
  /** Of the system; null where its C library is another one. */
  glibc: string | null;
}

/** Machines that it is built for so far. */
const builtFor = ['linux x64', 'linux arm64'];

export function nativeCoreUnavailable({ file, exists, detail, platform, arch, glibc }: LoadFailure): RunFailureError {
  const machine = `${platform} ${arch}`;
  if (!builtFor.includes(machine))
    return runFailure.nativeCoreUnavailable(
      `it is made for Linux on x64 and arm64, and this is ${machine}`,
      'Run the recipe on such a machine',
    );
  if (!exists)
    return runFailure.nativeCoreUnavailable(
      `${file} is not there`,
      `Install the package of Bitwright for ${machine}; in a clone, run npm run build`,
    );
  const another = 'Run the recipe on a newer system; a clone can also be built on this one, by npm run build';
  const wanted = /version [`'"]?GLIBC_([\d.]+)'? not found/.exec(detail)?.[1];
  if (glibc === null)
    return runFailure.nativeCoreUnavailable(`it needs the C library glibc, and this system has another one (${detail})`, another);
  if (wanted !== undefined) return runFailure.nativeCoreUnavailable(`it needs glibc ${wanted}, and this system has ${glibc}`, another);
  return runFailure.nativeCoreUnavailable(
    `${file} does not load: ${detail}`,
    `Install the package of Bitwright for ${machine} again; in a clone, run npm run build`,
  );
}

/** glibc of this process; null where Node runs on another C library. */
export function glibcOfSystem(): string | null {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime ?? null;
}
