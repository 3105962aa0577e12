// The native core for tests: a device of the processor or of the emulated CUDA backend, and the check that a test leaves no tensor behind.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadNativeCore, type NativeCore, type NativeDevice } from '../../worker/src/native-core.js';
import { Device } from '../../worker/src/tensor/tensor.js';
import { repositoryRoot } from './shared.js';

const addon = path.join(repositoryRoot, 'dist', 'native', 'bitwright.node');
/** The CUDA backend compiled for the processor; made by scripts/build-native.mjs. With BITWRIGHT_EMULATED_STREAMS the one whose streams lag (worker/native/README.md). */
export const emulatedCuda = path.join(
  repositoryRoot,
  'build',
  'native',
  process.env['BITWRIGHT_EMULATED_STREAMS'] === undefined ? 'emulated-cuda.so' : 'emulated-cuda-late.so',
);

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
  return withDevices(1, ([device]) => work(device!), threads, kind);
}

/** The same on several devices. The product has one CPU; for what is spread over devices, two of its queues are as good as two GPUs. */
export function withDevices<T>(
  count: number,
  work: (devices: readonly Device[]) => Promise<T>,
  threads = 2,
  kind: 'cpu' | 'cuda' = 'cpu',
): Promise<T> {
  const onCore = (core: NativeCore): Promise<T> =>
    withNatives(
      Array.from({ length: count }, (_, index) => core.openDevice(kind, kind === 'cpu' ? 0 : index, threads)),
      work,
    );
  return kind === 'cuda' ? withCore(emulatedCuda, onCore) : onCore(loadNativeCore(addon));
}

/** Takes the opened devices over. */
export async function withNatives<T>(natives: readonly NativeDevice[], work: (devices: readonly Device[]) => Promise<T>): Promise<T> {
  const devices = natives.map((native) => new Device(native));
  try {
    const answer = await work(devices);
    for (const device of devices) {
      await device.sync();
      assert.equal(device.liveTensors, 0, 'every tensor is disposed');
      assert.equal(device.native.memory().live_handles, 0, 'the native core holds no handle');
    }
    return answer;
  } finally {
    for (const native of natives) native.close();
  }
}
