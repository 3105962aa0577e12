// Runs that meet the limit of their device: they give up what costs time alone, say so, and end with the result of a run that had room.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { limited, planOverRows, workspaceBytes, type RowsOfTokens } from '../../support/short-memory.js';
import { inTemporaryFolder, runPlan, runToCompletion, type FinishedRun } from '../../support/worker-run.js';

const transforms = 'SmoothQuantModifier: {smoothing_strength: 0.5}';
const gptq = (inGroups: string): string => `${transforms}, GPTQModifier: {ignore: [lm_head], config_groups: {g: {${inGroups}}}}`;
const inGroups = 'targets: [Linear], weights: {num_bits: 4, type: int, strategy: group, group_size: 16}';

const planIn = (dir: string, rows: number, length: number, part: Partial<RowsOfTokens> = {}): Promise<QuantizationPlan> =>
  planOverRows(dir, { rows, length, modifiers: gptq(inGroups), ...part });

const weightsOf = ({ output }: QuantizationPlan): Buffer => readFileSync(path.join(output.dir, 'model.safetensors'));
const degraded = ({ problems }: RunReport): string[] =>
  problems.filter(({ code }) => code === 'memory-degraded').map(({ message }) => message);

/** Everything once, in order, and each layer's error that of a run with room up to rounding. */
function assertAlike(report: RunReport, free: RunReport): void {
  assert.deepEqual(
    report.layers.map(({ name }) => name),
    free.layers.map(({ name }) => name),
  );
  assert.equal(report.transforms?.length, free.transforms?.length);
  for (const [index, { name, relative_output_error }] of report.layers.entries()) {
    const expected = free.layers[index]?.relative_output_error ?? NaN;
    const relative = Math.abs((relative_output_error ?? NaN) / expected - 1);
    assert.ok(relative < 1e-5, `${name}: ${relative_output_error} and ${expected}, ${relative} apart`);
  }
}

/**
 * Hessians summed over other batches round in another order, 2e-7 apart. A weight that lies as near to the middle of two codes takes the other one, and GPTQ
 * hands its error to the columns behind it in that row. So a few rows may differ (with OpenBLAS's AVX2 kernels 111 bytes of 130,976, with those of AVX-512
 * none), and nothing else: scales and all that is no code come from the weights alone.
 */
function assertSameButForTies(bytes: Buffer, expected: Buffer, what: string): void {
  assert.equal(bytes.length, expected.length);
  const n_different = bytes.reduce((count, byte, at) => count + (byte === expected[at] ? 0 : 1), 0);
  assert.ok(n_different <= bytes.length / 500, `${what}: ${n_different} of ${bytes.length} bytes differ`);
}

/** Writes down when the device is asked for weights of the model, and when its queue has to be empty. */
function logged(device: Device, model: string, log: string[]): void {
  const [fromFile, sync] = [device.fromFile.bind(device), device.sync.bind(device)];
  device.fromFile = (file, ...place) => {
    if (file.startsWith(model)) log.push('weights');
    return fromFile(file, ...place);
  };
  device.sync = () => {
    log.push('sync');
    return sync();
  };
}

const peakOf = ({ memory, device }: RunReport): number =>
  (memory.devices?.[0]?.peak_bytes ?? NaN) - (device.kind === 'cuda' ? workspaceBytes : 0);

test('on the CPU: hidden states go to files, batches are halved, and the bytes are those of a run with room', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, 100, 60, { evaluate: {} });
    const { report: free } = await runToCompletion(plan);
    assert.deepEqual(degraded(free), []);
    assert.ok((free.memory.activations?.device_bytes ?? 0) > 0 && free.memory.activations?.disk_bytes === 0);
    for (const share of [0.8, 0.25]) {
      const wish = limited(plan, Math.floor(share * peakOf(free)));
      const { report, ended } = await runToCompletion(wish);
      const told = degraded(report);
      assert.ok(
        told.some((message) =>
          /^Memory ran out in block 0: \w+ wanted .* of memory, and .* is free: of .* tensors hold .*\. Hidden states were moved: .* to files;/.test(
            message,
          ),
        ),
        told.join('\n'),
      );
      assert.ok(
        told.some((message) => /The rows now pass in \d+ batches of \d+ tokens at most;.* raise max_memory\.$/.test(message)),
        told.join('\n'),
      );
      assert.ok(peakOf(report) <= share * peakOf(free), `${peakOf(report)} bytes at most`);
      assert.ok((report.memory.activations?.disk_bytes ?? 0) > 0);
      assert.equal(report.memory.devices?.[0]?.limit_bytes, Math.floor(share * peakOf(free)));
      assertAlike(report, free);
      assertSameButForTies(weightsOf(wish), weightsOf(plan), `at ${share} of the memory`);
      const [perplexity = NaN, expected = NaN] = [report.quality?.after?.perplexity, free.quality?.after?.perplexity];
      assert.ok(Math.abs(perplexity / expected - 1) < 1e-3, `perplexity ${perplexity} and ${expected}`);
      assert.ok(!existsSync(path.join(ended.report_dir ?? '', 'activations')), 'the files are gone');
    }
  }));

test('rotations that follow from rows: hidden states go to files, the pass begins again over the same batches, and the bytes are those of a run with room', () =>
  inTemporaryFolder(async (dir) => {
    const duquant = `DuQuantModifier: {block_size: 16}, QuantizationModifier: {ignore: [lm_head], config_groups: {g: {${inGroups}}}}`;
    // Many batches, so that it is the hidden states that need the memory.
    const plan = await planIn(dir, 800, 60, { modifiers: duquant });
    const { report: free } = await runToCompletion(plan);
    const wish = limited(plan, Math.floor(0.75 * peakOf(free)));
    const { report } = await runToCompletion(wish);
    const told = degraded(report);
    assert.equal(told.length, 1, told.join('\n'));
    assert.match(
      told[0] ?? '',
      /^Memory ran out in the pass that shows DuQuantModifier what to rotate: .* Hidden states were moved: .* to files;/,
    );
    assert.ok(weightsOf(wish).equals(weightsOf(plan)));
    const { failure } = (await runPlan(limited(plan, 30_000))).ended;
    assert.equal(failure?.code, 'memory-too-small');
    assert.match(failure.message, /^the (pass that shows DuQuantModifier what to rotate|rotation of \S+) needs \d/);
  }));

test('where memory is short and no limit is set, the run says so before it begins and keeps to what can be used', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, 8, 30);
    const { report } = await runToCompletion({ ...plan, estimate: { ...plan.estimate, peak_memory_bytes: 1e15 } });
    const [told = ''] = degraded(report);
    assert.match(
      told,
      /^Memory is short: \w.* needs about .*, and .* can be used\. Hidden states go to files .* use a machine with more memory\.$/,
    );
    assert.ok((report.memory.devices?.[0]?.limit_bytes ?? 0) > 1e6);
  }));

test('when nothing is left to give up, the run fails with what is missing and leaves nothing behind', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, 4, 30);
    const { ended, report } = await runPlan(limited(plan, 60_000));
    assert.equal(ended.outcome, 'failed');
    assert.equal(ended.failure?.code, 'memory-too-small');
    assert.match(
      ended.failure.message,
      /^block 0 needs \d.* and \d.* is free: of 60\.0 kB tensors hold \d.* kB\. .*, or raise max_memory\.$/,
    );
    assert.ok(report && degraded(report).length > 0);
  }));

/** GPTQ alone, with room and with a share of what that took: the bytes and errors are the same, and what was given up is answered. */
async function untransformed(
  dir: string,
  kind: 'cpu' | 'cuda',
  share: number,
  { rows, length, sizes }: Pick<RowsOfTokens, 'rows' | 'length' | 'sizes'>,
): Promise<{ report: RunReport; free: RunReport; told: string[] }> {
  const modifiers = `GPTQModifier: {ignore: [lm_head], config_groups: {g: {${inGroups}}}}`;
  const plan = await planIn(dir, rows, length, { modifiers, sizes });
  // It takes more than a block does.
  delete plan.depth;
  const run = (wish: QuantizationPlan): Promise<FinishedRun & { report: RunReport }> => runToCompletion(wish, { kind, threads: 1 });
  const { report: free } = await run(plan);
  assert.deepEqual(degraded(free), []);
  const wish = limited(plan, Math.floor(share * peakOf(free)));
  const { report } = await run(wish);
  const errorsOf = ({ layers }: RunReport): unknown => layers.map(({ name, relative_output_error }) => [name, relative_output_error]);
  assert.deepEqual(errorsOf(report), errorsOf(free));
  assert.ok(weightsOf(wish).equals(weightsOf(plan)));
  return { report, free, told: degraded(report) };
}

// Of what the whole takes at its most; on CUDA that is while a solver works, with its intermediate results.
for (const [kind, share] of [
  ['cpu', 0.88],
  ['cuda', 0.92],
] as const)
  test(`Hessians that do not fit beside each other are summed one at a time, and the bytes are those of a run with room: ${kind}`, () =>
    inTemporaryFolder(async (dir) => {
      const { told } = await untransformed(dir, kind, share, { rows: 4, length: 20, sizes: { hidden: 128, mlp: 64 } });
      assert.ok(
        told.some((message) =>
          /^Memory ran out in block 0: \w+ wanted .* Hessians are summed one at a time, in 4 passes of the rows through a block: 65\.5 kB at most in place of 213\.0 kB\. /.test(
            message,
          ),
        ),
        told.join('\n'),
      );
      // What is free is what the solver lacked: cuBLAS has its 32 MiB, and intermediate results are no tensors.
      const held =
        kind === 'cpu'
          ? /, and \S+ kB is free: of \S+ kB tensors hold \S+ kB\. /
          : /of device memory, and \S+ kB is free: of 3\S+ MB tensors hold \S+ kB, intermediate results and cuBLAS 3\S+ MB\. /;
      assert.ok(
        told.every((message) => held.test(message)),
        told.join('\n'),
      );
      assert.ok(!told.some((message) => message.includes('batches')), told.join('\n'));
    }));

/**
 * `length`: of every row, more than half a batch, so that no batch has two of them; emulated kernels take their time. On CUDA the sum of a Hessian has
 * intermediate results, which are no tensors.
 */
for (const [kind, rows, length, share] of [
  ['cpu', 2, 2100, 0.6],
  ['cuda', 1, 1100, 0.95],
] as const)
  test(`a sequence that does not fit passes in pieces, and the bytes are those of a run with room: ${kind}`, () =>
    inTemporaryFolder(async (dir) => {
      const { report, free, told } = await untransformed(dir, kind, share, { rows, length, sizes: { mlp: 256 } });
      const bits = kind === 'cpu' ? 'no bit of a result changes' : 'cuBLAS may round .*';
      const step = new RegExp(
        `Sequences now pass through a block (512|256) tokens at a time, all but .*; ${bits}\\. The work was begun again;`,
      );
      assert.ok(
        told.some((message) => step.test(message)),
        told.join('\n'),
      );
      assert.ok(peakOf(report) <= share * peakOf(free), `${peakOf(report)} bytes at most, ${peakOf(free)} with room`);
    }));

test('on an emulated CUDA device: hidden states go to pinned memory, batches are halved, and the layers are those of a run with room', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, 16, 40);
    const log: string[] = [];
    const run = (wish: QuantizationPlan): Promise<FinishedRun & { report: RunReport }> =>
      runToCompletion(wish, {
        kind: 'cuda',
        threads: 1,
        seeDevice: (device) => logged(device, plan.model.dir, log),
        onEvent: (event) => void (event.kind === 'stage-began' && log.push(`${event.stage} ${event.block}`)),
      });
    const { report: free } = await run(plan);
    assert.deepEqual(degraded(free), []);
    assert.ok(free.memory.pinned_peak_bytes === 0 && (free.memory.activations?.device_bytes ?? 0) > 0);
    // The weights of block 1 are asked for before the device has ended the pass through block 0.
    const pass = log.slice(log.indexOf('forward 0') + 1, log.indexOf('transform 1'));
    assert.deepEqual(pass, [...Array<string>(9).fill('weights'), 'sync']);
    const wish = limited(plan, Math.floor(0.6 * peakOf(free)));
    const { report } = await run(wish);
    const told = degraded(report);
    assert.ok((report.memory.pinned_peak_bytes ?? 0) > 0 && (report.memory.activations?.host_bytes ?? 0) > 0, told.join('\n'));
    assert.equal(report.memory.activations?.disk_bytes, 0);
    assert.ok(
      told.some((message) => /The rows now pass in \d+ batches of \d+ tokens at most;.* raise max_device_memory\.$/.test(message)),
      told.join('\n'),
    );
    assertAlike(report, free);
    assert.ok(weightsOf(wish).equals(weightsOf(plan)));
  }));
