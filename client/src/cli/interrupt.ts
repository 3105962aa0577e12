// Ctrl-C: the first asks for an orderly end, the second ends at once.
import { exitCode } from './command.js';

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
