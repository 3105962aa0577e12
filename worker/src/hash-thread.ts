// A thread that reads files from front to back and answers the SHA-256 of each: started by hash-files.ts, so that hashing takes no time from the run's own thread.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { HashAnswer } from './hash-files.js';

const chunkBytes = 1024 * 1024;

async function hashFile(file: string): Promise<HashAnswer> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes }) as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      hash.update(chunk);
    }
  } catch (error) {
    return { file, error: (error as Error).message };
  }
  return { file, bytes, sha256: hash.digest('hex') };
}

async function hashAll(files: readonly string[]): Promise<void> {
  for (const file of files) parentPort?.postMessage(await hashFile(file));
}

void hashAll(workerData as string[]);
