// SHA-256 of files beside the work of a run: a thread of its own reads them, so that a run waits only for what is left when it ends.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { RunLock } from '../../schemas/src/generated/lock.js';
import { runFailure } from '../../schemas/src/run-failure.js';

export type HashedFile = RunLock['files'][number];
export type HashAnswer = { file: string; bytes: number; sha256: string } | { file: string; error: string };

export interface FileHashes extends Disposable {
  /** In the order asked for, by full path; rejects with the file that cannot be read. */
  readonly done: Promise<HashedFile[]>;
}

export function hashFiles(files: readonly string[]): FileHashes {
  const thread = new Worker(threadFile(), { workerData: files });
  thread.unref();
  const done = new Promise<HashedFile[]>((resolve, reject) => {
    const hashed: HashedFile[] = [];
    thread.on('message', (answer: HashAnswer) => {
      if ('error' in answer) return reject(runFailure.fileUnreadable(answer.file, answer.error));
      hashed.push({ name: answer.file, bytes: answer.bytes, sha256: answer.sha256 });
      if (hashed.length === files.length) resolve(hashed);
    });
    thread.on('error', reject);
    // Where it ended with all answers given, this comes too late to count.
    thread.on('exit', () => reject(new Error('The thread that hashes files has ended before its work was done.')));
    if (files.length === 0) resolve([]);
  });
  // Whoever stops it does not ask for the answer.
  done.catch(() => undefined);
  return { done, [Symbol.dispose]: () => void thread.terminate() };
}

/** Beside this file, or in the worker's folder where bundles share a part. */
function threadFile(): string {
  const beside = path.join(__dirname, 'hash-thread.js');
  return existsSync(beside) ? beside : path.join(__dirname, '..', 'worker', 'hash-thread.js');
}

/** The libraries of the native core that a run on such a device uses. */
export function nativeCoreFiles(kind: 'cpu' | 'cuda', nodeFile: string): string[] {
  const cuda = path.join(path.dirname(nodeFile), 'bitwright-cuda.so');
  return [nodeFile, ...(kind === 'cuda' && existsSync(cuda) ? [cuda] : [])];
}
