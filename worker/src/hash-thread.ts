// A thread that reads files from front to back and answers the SHA-256 of each: started by hash-files.ts, so that hashing takes no time from the run's own thread.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { HashAnswer } from './hash-files.js';

/** One for all that is read: buffers of a stream would wait for the collector, 40 MB of them beside a run of 80 MB. */
const chunk = Buffer.allocUnsafeSlow(1024 * 1024);

function hashFile(file: string): HashAnswer {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const descriptor = openSync(file, 'r');
    try {
      for (let read; (read = readSync(descriptor, chunk)) > 0; bytes += read) hash.update(chunk.subarray(0, read));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    return { file, error: (error as Error).message };
  }
  return { file, bytes, sha256: hash.digest('hex') };
}

for (const file of workerData as string[]) parentPort?.postMessage(hashFile(file));
