// The native core for tests: a device of the processor or of the emulated CUDA backend, and the check that a test leaves no tensor behind.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadNativeCore, type NativeCore } from '../../worker/src/native-core.js';
import { Device } from '../../worker/src/tensor/tensor.js';
import { repositoryRoot } from './shared.js';

const addon = path.join(repositoryRoot, 'dist', 'native', 'bitwright.node');
/** The CUDA backend compiled for the processor; made by scripts/build-native.mjs. */
export const emulatedCuda = path.join(repositoryRoot, 'build', 'native', 'emulated-cuda.so');

/** The addon in a folder of its own, beside it as the CUDA backend what `library` names. */
export async function withCore<T>(library: string | null, work: (core: NativeCore) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-core-'));
  try {
    copyFileSync(addon, path.join(folder, 'bitwright.node'));
    if (library !== null) copyFileSync(library, path.join(folder, 'bitwright-cuda.so'));
    return await work(loadNativeCore(path.join(folder, 'bitwright.node')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs `work` on a device of its own; afterwards no handle may be alive, in JavaScript or in the native core. */
export function withDevice<T>(work: (device: Device) => Promise<T>, threads = 2, kind: 'cpu' | 'cuda' = 'cpu'): Promise<T> {
  if (kind === 'cuda') return withCore(emulatedCuda, (core) => onDevice(core, kind, threads, work));
  return onDevice(loadNativeCore(addon), kind, threads, work);
}

async function onDevice<T>(core: NativeCore, kind: 'cpu' | 'cuda', threads: number, work: (device: Device) => Promise<T>): Promise<T> {
  const native = core.openDevice(kind, 0, threads);
  const device = new Device(native);
  try {
    const answer = await work(device);
    await device.sync();
    assert.equal(device.liveTensors, 0, 'every tensor is disposed');
    assert.equal(native.memory().live_handles, 0, 'the native core holds no handle');
    return answer;
  } finally {
    native.close();
  }
}
