// The lock of a run: hashes of what it reads, from its beginning on beside the work, and of what it has written, put together when the checkpoint stands.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { CheckpointHashes } from '../checkpoint/checkpoint-writer.js';
import { hashFiles, nativeCoreFiles, type FileHashes } from '../hash-files.js';
import { findNativeCore, NATIVE_ABI } from '../native-core.js';
import { inputFiles, writeLock } from '../report/run-lock.js';
import type { RunContext } from '../run-context.js';

/** Libraries of the native core first, then what the plan names. */
export const hashInputs = ({ given, device }: RunContext): FileHashes =>
  hashFiles([...nativeCoreFiles(device.native.kind, findNativeCore()), ...inputFiles(given)]);

/** Waits for the hashes of what was read; the files of the checkpoint that were not hashed while they were written are small. */
export async function lockRun(context: RunContext, { done }: FileHashes, hashes: CheckpointHashes): Promise<void> {
  const { given, device, devices } = context;
  const { dir } = given.output;
  const known = new Set(hashes.files.map(({ name }) => name));
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)));
  using others = hashFiles(names.filter((name) => !known.has(name)).map((name) => path.join(dir, name)));
  const written = (await unlessCancelled(context, others.done)).map((file) => ({ ...file, name: path.relative(dir, file.name) }));
  const read = await unlessCancelled(context, done);
  const n_libraries = nativeCoreFiles(device.native.kind, findNativeCore()).length;
  await writeLock(context.runDir, {
    lock_version: 1,
    run_id: context.runId,
    bitwright_version: context.version,
    native_core: { abi: NATIVE_ABI, files: read.slice(0, n_libraries).map((file) => ({ ...file, name: path.basename(file.name) })) },
    device: { kind: device.native.kind, name: context.deviceFacts.name, n_devices: devices.length },
    plan: { ...given },
    inputs: read.slice(n_libraries),
    tokens: context.tokens,
    files: [...hashes.files, ...written].sort((a, b) => (a.name < b.name ? -1 : 1)),
    tensors: hashes.tensors,
  });
}

/** A thread hears nothing of a cancelled run. */
async function unlessCancelled<T>(context: RunContext, work: Promise<T>): Promise<T> {
  for (;;) {
    const first = await Promise.race([work.then((value) => ({ value })), setTimeout(cancelCheckMilliseconds, null, { ref: false })]);
    if (first !== null) return first.value;
    context.throwIfCancelled();
  }
}
const cancelCheckMilliseconds = 100;
