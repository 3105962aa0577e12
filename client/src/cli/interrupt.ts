// Ctrl-C: a run or evaluation ends in order at the first and at once at the second; anything else just ends.
import { exitCode } from './command.js';
import type { Terminal } from './terminal.js';

/** For as long as nobody else waits for Ctrl-C. Child processes end with their input. */
export function endOnInterrupt(terminal: Terminal): void {
  const end = (signal: 'SIGINT' | 'SIGTERM'): void => {
    if (process.listenerCount(signal) > 1) return;
    terminal.err('Cancelled.');
    process.exit(exitCode.interrupted);
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
}

export interface Interrupt {
  /** True once Ctrl-C (or SIGTERM) has come. */
  readonly requested: boolean;
  /** Takes the handlers away. */
  dispose(): void;
}

export function onInterrupt(orderly: () => void, atOnce: () => void): Interrupt {
  let requested = false;
  const handle = (): void => {
    if (requested) {
      atOnce();
      process.exit(exitCode.interrupted);
    }
    requested = true;
    orderly();
  };
  process.on('SIGINT', handle);
  process.on('SIGTERM', handle);
  return {
    get requested() {
      return requested;
    },
    dispose: () => {
      process.off('SIGINT', handle);
      process.off('SIGTERM', handle);
    },
  };
}
