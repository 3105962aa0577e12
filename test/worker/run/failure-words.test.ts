// Errors that no one foresaw, in the words of the closed list: what the native core says, what the system says, and our own faults.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { asRunFailure } from '../../../worker/src/run-context.js';
import { withDevice } from '../../support/native-device.js';

/** The error that the work ends with. */
async function errorOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}

test('a failure of the list stays as it is', () => {
  const failure = runFailure.diskFull('a.safetensors', '3 MB');
  assert.equal(asRunFailure(failure), failure.failure);
});

test('an operation that the native core refuses: native-core, named with its shapes', async () => {
  const error = await withDevice((device) =>
    errorOf(async () => {
      using x = device.fromFloats([2, 3], new Float32Array(6));
      using weight = device.fromFloats([4, 5], new Float32Array(20));
      for (const tensor of device.enqueue('linear', [x, weight, null])) {
        using result = tensor;
        await result.read();
      }
    }),
  );
  const failure = asRunFailure(error);
  assert.equal(failure.code, 'native-core');
  assert.equal(failure.place, 'linear');
  assert.match(failure.message, /^The native operation linear failed: .*2.*3.*4.*5/s);
});

test('an error of the system: file-unreadable, with the file', async () => {
  const failure = asRunFailure(await errorOf(() => readFileSync('no-such-file.bin')));
  assert.deepEqual([failure.code, failure.place], ['file-unreadable', 'no-such-file.bin']);
});

test('a fault of ours: native-core of the worker, and its trace in the log', (t: TestContext) => {
  const log = t.mock.method(console, 'error', () => undefined);
  const failure = asRunFailure(new TypeError('undefined is not a layer'));
  assert.deepEqual([failure.code, failure.place], ['native-core', 'worker']);
  assert.match(failure.message, /undefined is not a layer/);
  assert.match(String(log.mock.calls[0]?.arguments[0]), /TypeError: undefined is not a layer\n +at /);
});
