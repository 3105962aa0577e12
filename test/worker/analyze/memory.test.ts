// An analysis that meets the limit of its device gives up what a run does, says so, and finds the same figures.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { asSensitivity } from '../../../schemas/src/validate.js';
import type { LayerSensitivity } from '../../../schemas/src/generated/sensitivity.js';
import { analyze } from '../../../worker/src/analyze/analyze.js';
import { failureCode } from '../../support/failures.js';
import { withDevice } from '../../support/native-device.js';
import { limited, planOverRows, workspaceBytes, type RowsOfTokens } from '../../support/short-memory.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

const modifiers = 'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}';

const planIn = (dir: string, rows: number, length: number, sizes?: RowsOfTokens['sizes']): Promise<QuantizationPlan> =>
  planOverRows(dir, { rows, length, modifiers, sizes, evaluate: { max_seq_length: length, num_samples: 2 } });

interface Analyzed {
  layers: LayerSensitivity[];
  told: string[];
  peak: number;
}

/** With so many bytes for tensors; Infinity: all that there is. */
async function analyzed(
  plan: QuantizationPlan,
  kind: 'cpu' | 'cuda',
  bytes: number,
  wish: { endToEnd?: boolean; fisher?: boolean; hessianProbes?: number } = {},
): Promise<Analyzed> {
  return withDevice(
    async (device) => {
      device.native.resetPeakMemory();
      const problems: RunProblem[] = [];
      const watch = {
        onProgress: () => undefined,
        onProblem: (problem: RunProblem) => void problems.push(problem),
        throwIfCancelled: () => undefined,
      };
      const { endToEnd = false, fisher = false, hessianProbes = 0 } = wish;
      const { dir } = await analyze({
        plan: limited(plan, bytes),
        bits: [4],
        endToEnd,
        fisher,
        hessianProbes,
        keepWeights: false,
        device,
        kind,
        version: 'test',
        watch,
      });
      const memory = device.native.memory();
      assert.equal(memory.limit_bytes, 0, 'the limit ends with the analysis');
      const checked = asSensitivity(JSON.parse(readFileSync(path.join(dir, 'sensitivity.json'), 'utf8')));
      assert.ok('analysis' in checked);
      assert.ok(problems.every(({ code }) => code === 'memory-degraded'));
      return {
        layers: checked.analysis.layers,
        told: problems.map(({ message }) => message),
        peak: memory.peak_bytes - (kind === 'cuda' ? workspaceBytes : 0),
      };
    },
    1,
    kind,
  );
}

function assertAlike(actual: readonly LayerSensitivity[], expected: readonly LayerSensitivity[]): void {
  const figuresOf = (layers: readonly LayerSensitivity[]): [string, number][] =>
    layers.flatMap(({ name, candidates }) =>
      candidates.flatMap((candidate) =>
        Object.entries(candidate).flatMap(([key, value]): [string, number][] =>
          typeof value === 'number' ? [[`${name}, ${candidate.num_bits} bits: ${key}`, value]] : [],
        ),
      ),
    );
  const [found, wanted] = [figuresOf(actual), figuresOf(expected)];
  assert.deepEqual(
    found.map(([name]) => name),
    wanted.map(([name]) => name),
  );
  for (const [index, [name, value]] of found.entries()) {
    const other = wanted[index]?.[1] ?? NaN;
    // Changes of a perplexity are differences of two numbers of 96 or so; the model is so flat that its divergences are rounding.
    const scale = name.endsWith('perplexity_change') ? 96 : name.endsWith('mean_kld') ? 1e-9 : Math.abs(other);
    // Beside the middle of two codes a weight may take the other one (test/worker/run/memory.test.ts), which errors of outputs hardly see.
    const bound = /weight_/.test(name) ? 1e-3 : 1e-4;
    assert.ok(Math.abs(value - other) <= bound * scale, `${name}: ${value}, not ${other}`);
  }
}

const tracesOf = ({ layers }: Analyzed, key: 'fisher_trace' | 'hessian_trace'): unknown[] => {
  const traces = layers.map((layer) => layer[key]);
  assert.ok(traces.every((trace) => trace !== null && trace !== undefined));
  return traces;
};

const gaveUp = ({ told }: Analyzed, step: RegExp): void =>
  assert.ok(
    told.some((message) => step.test(message)),
    told.join('\n'),
  );

for (const [kind, rows, share] of [
  ['cpu', 100, 0.4],
  ['cuda', 16, 0.6],
] as const)
  test(`hidden states are moved, batches halved, and the figures are those of an analysis with room: ${kind}`, () =>
    inTemporaryFolder(async (dir) => {
      const plan = await planIn(dir, rows, 60);
      const endToEnd = kind === 'cpu';
      const free = await analyzed(plan, kind, Infinity, { endToEnd });
      assert.deepEqual(free.told, []);
      const short = await analyzed(plan, kind, Math.floor(share * free.peak), { endToEnd });
      gaveUp(short, kind === 'cpu' ? /Hidden states were moved: / : /Hessians are summed one at a time/);
      gaveUp(short, /The rows now pass in \d+ batches of \d+ tokens at most;/);
      assert.ok(short.peak <= share * free.peak, `${short.peak} bytes at most, ${free.peak} with room`);
      assertAlike(short.layers, free.layers);
    }));

test('Hessians are summed one at a time, sequences pass in pieces, and no figure changes', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, 2, 2100, { mlp: 256 });
    const free = await analyzed(plan, 'cpu', Infinity);
    const short = await analyzed(plan, 'cpu', Math.floor(0.6 * free.peak));
    gaveUp(short, /^Memory ran out in block 0: .* Hessians are summed one at a time, in 4 passes/);
    gaveUp(short, /Sequences now pass through a block \d+ tokens at a time, .*; no bit of a result changes\./);
    assert.deepEqual(short.layers, free.layers);
  }));

test('gradients are taken in smaller batches, whose sequences stay whole', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, 60, 60);
    const free = await analyzed(plan, 'cpu', Infinity, { fisher: true });
    const short = await analyzed(plan, 'cpu', Math.floor(0.5 * free.peak), { fisher: true });
    gaveUp(short, /^Memory ran out in the Fisher information: .* The rows now pass in \d+ batches/);
    assertAlike(short.layers, free.layers);
    const plenty = await planIn(dir, 1, 1000);
    await assert.rejects(analyzed(plenty, 'cpu', 400_000, { fisher: true }), failureCode('memory-too-small'));
  }));

/** A thousandth of what the probes leave open: a central difference of gradients shows their last bits. */
const nearTrace = (actual: LayerSensitivity, expected: LayerSensitivity): void => {
  const [found, wanted] = [actual.hessian_trace, expected.hessian_trace];
  assert.ok(found && wanted);
  const bound = 1e-3 * (wanted.standard_error ?? NaN);
  assert.ok(Math.abs(found.value - wanted.value) <= bound, `${actual.name}: ${found.value}, not ${wanted.value}`);
};

for (const [measure, wish, key] of [
  ['the Fisher information', { fisher: true }, 'fisher_trace'],
  ['the trace of the Hessian', { hessianProbes: 2 }, 'hessian_trace'],
] as const)
  test(`${measure}: hidden states between blocks go to files and it has the same bytes; then batches are halved, which is told`, () =>
    inTemporaryFolder(async (dir) => {
      const plan = await planIn(dir, 60, 60);
      const free = await analyzed(plan, 'cpu', Infinity, wish);
      const ranOut = `^Memory ran out in ${measure}: \\w+ wanted .*`;
      const batches = new RegExp(`${ranOut} The rows now pass in \\d+ batches of \\d+ tokens at most; .* can change the last bits`);
      for (const [share, isHalved] of [
        [0.85, false],
        [0.5, true],
      ] as const) {
        const short = await analyzed(plan, 'cpu', Math.floor(share * free.peak), wish);
        gaveUp(short, new RegExp(`${ranOut} Hidden states between blocks now go to files\\.`));
        assert.equal(
          short.told.some((message) => batches.test(message)),
          isHalved,
          short.told.join('\n'),
        );
        assert.ok(short.peak <= share * free.peak, `${short.peak} bytes at most, ${free.peak} with room`);
        if (!isHalved) assert.deepEqual(tracesOf(short, key), tracesOf(free, key));
        else if (key === 'hessian_trace') short.layers.forEach((layer, at) => nearTrace(layer, free.layers[at]!));
        else assertAlike(short.layers, free.layers);
      }
    }));
