// What is given up where memory runs out, in which order, and what is told; the numbers of the native core's sentences.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import type { ActivationCache } from '../../../worker/src/calibration/activation-cache.js';
import type { CalibrationRows } from '../../../worker/src/calibration/calibrate-block.js';
import { SpreadRows } from '../../../worker/src/calibration/spread-rows.js';
import { loadTokenBatches } from '../../../worker/src/calibration/token-batches.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { MemoryGovernor } from '../../../worker/src/memory/memory-governor.js';
import { missingMemory } from '../../../worker/src/memory/missing-memory.js';
import { NextWeights } from '../../../worker/src/memory/next-weights.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { writeDataset } from '../../support/dataset-file.js';
import { withDevice } from '../../support/native-device.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

test('the sentences of the native core are told apart', async () => {
  const limited = 'out of memory: 400 bytes for F32[10, 10], 2 free beside 7 in tensors of 12 that the limit allows';
  assert.deepEqual(missingMemory(new Error(limited)), { where: 'device', operation: null, bytes: 400, free: 2, in_tensors: 7, of: 12 });
  assert.deepEqual(missingMemory(new Error('gptq of BF16[8, 8] F32[8, 8]: out of memory: 64 bytes for an intermediate result, 3 free')), {
    where: 'device',
    operation: 'gptq',
    bytes: 64,
    free: 3,
    in_tensors: null,
    of: null,
  });
  const onHost = 'out of host memory: 5 bytes for U8[5] beside 0 in tensors';
  assert.deepEqual(missingMemory(new Error(onHost)), { where: 'host', operation: null, bytes: 5, free: null, in_tensors: 0, of: null });
  for (const other of [
    new Error('read a: out of memory: 5 bytes'),
    new Error('cancelled: the run was cancelled'),
    'out of memory: 5 bytes',
  ])
    assert.equal(missingMemory(other), null);
  // As a device really says it, which works on afterwards.
  await withDevice(async (device) => {
    device.native.limitMemory(1000);
    using large = device.zeros('F32', [1000]);
    const said = await large.read().catch((error: unknown) => missingMemory(error));
    assert.deepEqual(said, { where: 'device', operation: null, bytes: 4000, free: 1000, in_tensors: 0, of: 1000 });
    using small = device.zeros('F32', [10]);
    assert.equal((await small.read()).byteLength, 40);
  });
});

/** Four documents of ten tokens with their hidden states, a governor that holds them, and what it told. */
async function withRows(
  device: Device,
  budget: { device: number; host: number },
  work: (given: {
    governor: MemoryGovernor;
    cache: ActivationCache;
    rows: CalibrationRows;
    told: RunProblem[];
    dir: string;
  }) => Promise<void>,
): Promise<void> {
  await inTemporaryFolder(async (dir) => {
    writeTinyLlama(dir, 'random');
    const { model } = await describeModel(dir, nodeFiles);
    assert.ok(model);
    const ids = (row: number): number[] => Array.from({ length: 10 }, (_, i) => row * 10 + i);
    const dataset = writeDataset(
      path.join(dir, 'rows.jsonl'),
      [0, 1, 2, 3].map((row) => ({ input_ids: ids(row) })),
    );
    using tokens = await loadTokenBatches(dataset, model, [device], { batchTokens: 20 });
    using spread = new SpreadRows({
      tokens,
      devices: [device],
      model,
      purpose: 'A test',
      dir: path.join(dir, 'activations'),
      budgetOf: () => budget,
      onBatch: () => undefined,
    });
    const [rows] = spread.parts;
    const { cache } = rows;
    const told: RunProblem[] = [];
    const governor = new MemoryGovernor([device], (problem) => told.push(problem));
    using _ = governor.hold({ tokens, rows: spread });
    for (const [index, batch] of rows.batches.entries()) {
      cache.stage(index, device.fromFloats([batch.nTokens, 2], Float32Array.from(twice(batch.tokens))), 0);
      await cache.commit(index);
    }
    await work({ governor, cache, rows, told, dir });
  });
}

/** On the emulated CUDA device. */
const onCuda = (work: (device: Device) => Promise<void>): Promise<void> => withDevice(work, 1, 'cuda');

const twice = (tokens: Int32Array): number[] => [...tokens].flatMap((id) => [id, id + 0.5]);

/** The hidden states of all batches behind each other are those that were kept. */
async function assertKept(cache: ActivationCache, rows: CalibrationRows): Promise<void> {
  const all: number[] = [];
  for (const [index, batch] of rows.batches.entries()) {
    using hidden = cache.get(index);
    assert.deepEqual(hidden.shape, [batch.nTokens, 2]);
    all.push(...(await hidden.readFloats()));
  }
  assert.deepEqual(all, twice(Int32Array.from({ length: 40 }, (_, id) => id)));
}

const outOfMemory = (): Error =>
  new Error('linear: out of memory: 4000 bytes for F32[1000], 1000 free beside 9000 in tensors of 10000 that the limit allows');
const withoutHost = (): Error => new Error('out of host memory: 160 bytes for F32[20, 2] beside 160 in tensors');

/** Fails as often as there are errors, then answers. */
const failing = (errors: Error[]) => (): Promise<string> => {
  const error = errors.shift();
  return error === undefined ? Promise.resolve('done') : Promise.reject(error);
};

test('on a CPU hidden states go to files, then batches are halved down to one document, then it fails', () =>
  withDevice((device) =>
    withRows(device, { device: 1e6, host: 0 }, async ({ governor, cache, rows, told }) => {
      assert.equal(rows.batches.length, 2);
      let n_rewound = 0;
      const work = { stage: 'block 3', rewind: () => void (n_rewound += 1) };
      assert.equal(await governor.survive(work, failing([outOfMemory(), outOfMemory()])), 'done');
      assert.deepEqual([cache.bytes, rows.batches.length, n_rewound], [{ device: 0, host: 0, disk: 320 }, 4, 2]);
      await assertKept(cache, rows);
      assert.deepEqual(
        told.map(({ code, message }) => `${code}: ${message}`),
        [
          'memory-degraded: Memory ran out in block 3: linear wanted 4.0 kB of memory, and 1.0 kB is free: of 10.0 kB tensors hold 9.0 kB. Hidden states were moved: 320 B to files; those that come go the same way. The work was begun again; to save that time, use a machine with more memory.',
          'memory-degraded: Memory ran out in block 3: linear wanted 4.0 kB of memory, and 1.0 kB is free: of 10.0 kB tensors hold 9.0 kB. The rows now pass in 4 batches of 10 tokens at most; sums over them are rounded in another order, which can change the last bits of a result. The work was begun again; to save that time, use a machine with more memory.',
        ],
      );
      await assert.rejects(governor.survive(work, failing([outOfMemory()])), (error) => {
        assert.ok(error instanceof RunFailureError && error.failure.code === 'memory-too-small' && error.failure.place === 'block 3');
        return true;
      });
      // What is no want of memory is passed on.
      await assert.rejects(governor.survive(work, failing([new Error('linear: another failure')])), /another failure/);
    }),
  ));

test('logits become fewer before batches do', () =>
  withDevice((device) =>
    withRows(device, { device: 0, host: 0 }, async ({ governor, rows, told }) => {
      const before = governor.logitsAtATime;
      await governor.survive({ stage: 'the head', hasLogits: true }, failing([outOfMemory()]));
      assert.equal(governor.logitsAtATime, before / 4);
      assert.match(told[0]?.message ?? '', /Logits are computed 16\.8 MB at a time\./);
      assert.equal(rows.batches.length, 2);
    }),
  ));

test('Hessians are summed one at a time before batches are halved, once; one alone cannot be', () =>
  withDevice(async (device) => {
    for (const hessians of [[1000, 3000, 9000], [9000]])
      await withRows(device, { device: 0, host: 0 }, async ({ governor, told }) => {
        const work = { stage: 'block 0', hessians };
        await assert.rejects(governor.survive(work, failing(Array.from({ length: 3 }, outOfMemory))), RunFailureError);
        const steps = told.map(({ message }) =>
          message.replace(/^.*?(?: hold \S+ kB.*?|programs \S+ kB|pins no more)\. /, '').replace(/ The work was.*/, ''),
        );
        assert.match(steps.pop() ?? '', /^The rows now pass in 4 batches/);
        assert.equal(governor.oneHessianAtATime, hessians.length > 1);
        assert.deepEqual(
          steps,
          hessians.length === 1
            ? []
            : ['Hessians are summed one at a time, in 3 passes of the rows through a block: 9.0 kB at most in place of 13.0 kB.'],
        );
      });
  }));

test('on a CUDA device weights that were loaded ahead go first, then hidden states to the host, and to files where the host pins no more', () =>
  onCuda((device) =>
    withRows(device, { device: 1e6, host: 200 }, async ({ governor, cache, rows, told, dir }) => {
      const { model } = await describeModel(dir, nodeFiles);
      assert.ok(model);
      using next = new NextWeights(openTensorReader(device, modelTensors(model)), model, 20);
      governor.luxury = next;
      next.plan(1, 2);
      next.step();
      next.step();
      const before = device.liveTensors;
      using one = next.reader().load('model.layers.1.mlp.up_proj.weight');
      assert.equal(device.liveTensors, before, 'it was loaded already');
      await governor.survive({ stage: 'block 0' }, failing([outOfMemory(), outOfMemory(), withoutHost(), outOfMemory()]));
      assert.deepEqual(cache.bytes, { device: 0, host: 160, disk: 160 });
      assert.equal(cache.budget.host, 160);
      await assertKept(cache, rows);
      const others = 'of 10.0 kB tensors hold 9.0 kB, intermediate results and cuBLAS with other programs 0 B.';
      assert.ok(
        told[0]?.message.startsWith(`Memory ran out in block 0: linear wanted 4.0 kB of device memory, and 1.0 kB is free: ${others} `),
      );
      const steps = told.map(({ message }) =>
        message.replace(/^.*?(?: hold \S+ kB.*?|programs \S+ kB|pins no more)\. /, '').replace(/ The work was.*/, ''),
      );
      assert.match(steps[0] ?? '', /^The weights of the next block \(.*\) are no longer loaded ahead\.$/);
      assert.equal(
        steps[1],
        'Hidden states were moved: 160 B to pinned memory of the host, 160 B to files; those that come go the same way.',
      );
      assert.equal(steps[2], 'No more hidden states go to pinned memory of the host; they go to files.');
      assert.match(steps[3] ?? '', /^The rows now pass in 4 batches/);
      next.plan(1, 1);
      next.step();
      assert.equal(next.giveUp(), 0, 'nothing more is loaded ahead');
      assert.ok(one.bytes > 0);
    }),
  ));

test('hidden states that every attempt lays out anew get no more of the device, then none of the host, before batches are halved', () =>
  onCuda((device) =>
    withRows(device, { device: 0, host: 0 }, async ({ governor, rows, told }) => {
      const ownBudget = { device: 1e6, host: 1e6 };
      const work = { stage: 'the Fisher information', isRecorded: true, ownBudget };
      await governor.survive(work, failing([outOfMemory(), withoutHost(), outOfMemory()]));
      assert.deepEqual(ownBudget, { device: 0, host: 0 });
      assert.match(
        told[0]?.message ?? '',
        / Hidden states between blocks now go to pinned memory of the host, and what has no room there to files\. /,
      );
      assert.match(told[1]?.message ?? '', / No more hidden states go to pinned memory of the host; they go to files\. /);
      assert.equal(told.length, 3);
      assert.equal(rows.batches.length, 4);
    }),
  ));

test('what was not committed is as if it had not been', () =>
  onCuda((device) =>
    withRows(device, { device: 160, host: 160 }, async ({ cache, rows }) => {
      assert.deepEqual(cache.bytes, { device: 160, host: 160, disk: 0 });
      for (const index of [0, 1]) cache.stage(index, device.zeros('F32', [20, 2]), 1);
      cache.rollBack();
      assert.deepEqual([cache.passed(0), cache.bytes], [0, { device: 160, host: 160, disk: 0 }]);
      await assertKept(cache, rows);
      cache.stage(1, device.zeros('F32', [20, 2]), 1);
      await cache.commit(1);
      assert.equal(cache.passed(1), 1);
    }),
  ));
