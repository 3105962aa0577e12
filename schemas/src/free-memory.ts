// What the machine has left for a process.
import os from 'node:os';

/** Control groups counted in. */
export const freeHostMemory = (): number => (typeof process.availableMemory === 'function' ? process.availableMemory() : os.freemem());
