// A second backend behind the addon, end to end through Node: the library beside it is found, listed, opened; tensors go there, are worked on and come back;
// failures are told. It is the emulated CUDA backend of the native tests, so this runs where no GPU is.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import type { NativeCore } from '../../worker/src/native-core.js';
import { dequantize, embedding, linear, quantizeRtn, weightScales } from '../../worker/src/tensor/operations.js';
import { Device } from '../../worker/src/tensor/tensor.js';
import { emulatedCuda, withCore } from '../support/native-device.js';

const floats = (n: number, value: (i: number) => number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: n }, (_, i) => value(i)).buffer);

/** x · Wᵀ, and W rounded to 4 bits and back. */
async function layer(core: NativeCore, kind: 'cpu' | 'cuda'): Promise<Uint8Array[]> {
  const native = core.openDevice(kind, 0, 1);
  assert.equal(native.kind, kind);
  const device = new Device(native);
  try {
    using x = device.fromBytes(
      'F32',
      [3, 32],
      floats(96, (i) => Math.sin(i)),
    );
    using weight = device.fromBytes(
      'F32',
      [8, 32],
      floats(256, (i) => Math.cos(i * i)),
    );
    using y = linear(x, weight, null);
    const args = { num_bits: 4, symmetric: true, strategy: 'group', group_size: 16 } as const;
    const [scale, zeroPoint] = weightScales(weight, null, { ...args, observer: 'minmax', maxshrink: 0, patience: 0, grid: 1, norm: 2 });
    using codes = quantizeRtn(weight, scale, zeroPoint, null, args);
    using back = dequantize(codes, scale, zeroPoint, null, args);
    scale.dispose();
    zeroPoint.dispose();
    return [await y.read(), await codes.read(), await back.read()];
  } finally {
    native.close();
  }
}

test('a backend library beside the addon is listed and computes what the processor does', () =>
  withCore(emulatedCuda, async (core) => {
    assert.ok(existsSync(emulatedCuda), 'built by scripts/build-native.mjs');
    const [cuda] = core.devices().filter(({ kind }) => kind === 'cuda');
    assert.deepEqual(
      { name: cuda?.name, usable: cuda?.usable, reason: cuda?.reason },
      { name: 'CUDA, emulated', usable: true, reason: null },
    );
    const [expected, other] = [await layer(core, 'cpu'), await layer(core, 'cuda')];
    assert.deepEqual(other.slice(1), expected.slice(1), 'codes and what they stand for, to the bit');
    const numbers = (bytes: Uint8Array | undefined): number[] => Array.from(new Float32Array((bytes ?? new Uint8Array()).slice().buffer));
    const [y, reference] = [numbers(other[0]), numbers(expected[0])];
    assert.equal(y.length, 24);
    y.forEach((value, i) =>
      assert.ok(Math.abs(value - (reference[i] ?? NaN)) < 1e-5, `element ${i} is ${value}, on the processor ${reference[i]}`),
    );
  }));

test('a failure on the other device is told by the next read with operation and shapes, and a device that is not there by its number', () =>
  withCore(emulatedCuda, async (core) => {
    assert.throws(() => core.openDevice('cuda', 7, 1), /there is no device cuda:7, the last is cuda:0/);
    const native = core.openDevice('cuda', 0, 1);
    const device = new Device(native);
    try {
      using table = device.fromBytes(
        'F32',
        [2, 2],
        floats(4, (i) => i),
      );
      using ids = device.fromBytes('I32', [1], new Uint8Array(Int32Array.of(5).buffer));
      using rows = embedding(table, ids);
      await assert.rejects(
        rows.read(),
        /^Error: embedding of F32\[2, 2\] I32\[1\]: token id 5 at position 0 is outside the vocabulary of 2$/,
      );
    } finally {
      native.close();
    }
  }));

test('without the library the device is listed with the reason, and cannot be opened', () =>
  withCore(null, (core) => {
    const cuda = core.devices().find(({ kind }) => kind === 'cuda');
    assert.match(cuda?.reason ?? '', /bitwright-cuda\.so is missing beside the native core/);
    assert.throws(() => core.openDevice('cuda', 0, 1), /bitwright-cuda\.so is missing/);
    return Promise.resolve();
  }));
