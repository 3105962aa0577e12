// The native core for tests: a CPU device of two threads, and the check that a test leaves no tensor behind.
import assert from 'node:assert/strict';
import path from 'node:path';
import { loadNativeCore } from '../../worker/src/native-core.js';
import { Device } from '../../worker/src/tensor/tensor.js';
import { repositoryRoot } from './shared.js';

/** Runs `work` on a device of its own; afterwards no handle may be alive, in JavaScript or in the native core. */
export async function withDevice<T>(work: (device: Device) => Promise<T>, threads = 2): Promise<T> {
  const native = loadNativeCore(path.join(repositoryRoot, 'dist', 'native', 'bitwright.node')).openDevice('cpu', 0, threads);
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
