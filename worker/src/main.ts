// The worker process: protocol on stdin and stdout, log on stderr. It ends with its host, and a crash says what crashed.
import { existsSync } from 'node:fs';
import { RunFailureError } from '../../schemas/src/run-failure.js';
import { listen, refuse } from './connection.js';
import { findNativeCore, loadNativeCore, type NativeCore } from './native-core.js';
import { glibcOfSystem, nativeCoreUnavailable } from './native-core-unavailable.js';

declare const BITWRIGHT_VERSION: string | undefined;
const version = typeof BITWRIGHT_VERSION === 'undefined' ? 'unbundled' : BITWRIGHT_VERSION;

// A stray line on stdout would break the protocol.
console.log = console.error;
console.info = console.error;

function crash(what: string, error: unknown): void {
  process.stderr.write(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`, () => process.exit(1));
}
process.on('uncaughtException', (error) => crash('The worker stops because of a fault', error));
process.on('unhandledRejection', (error) => crash('The worker stops because of an unhandled failure', error));

function openNativeCore(file: string): NativeCore | RunFailureError {
  try {
    return loadNativeCore(file);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const { platform, arch } = process;
    return nativeCoreUnavailable({ file, exists: existsSync(file), detail, platform, arch, glibc: glibcOfSystem() });
  }
}

// The host is gone when its end of stdin is: what was journalled is kept, and the run can be resumed.
const endWithHost = (): void => process.exit(0);
process.stdin.on('end', endWithHost);
const streams = { input: process.stdin, output: process.stdout, onClose: endWithHost };
const core = openNativeCore(findNativeCore());
if (core instanceof RunFailureError) refuse(streams, core);
else listen({ ...streams, core, version });
