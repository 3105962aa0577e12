// The analysis of a real model: its figures are those of whole runs that quantize the layer alone, and an interrupted one ends the same.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fisherCost } from '../../../schemas/src/analysis-measures.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { asSensitivity } from '../../../schemas/src/validate.js';
import { analyze, type FinishedAnalysis } from '../../../worker/src/analyze/analyze.js';
import { outliersOf } from '../../../worker/src/observers/column-moments.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { failureCode } from '../../support/failures.js';
import { withDevice } from '../../support/native-device.js';
import { negateWeights } from '../../support/negate-weights.js';
import { planIn } from '../../support/recipe-fixture.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, runToCompletion } from '../../support/worker-run.js';

const rows = (name: string): string => JSON.stringify(sharedPath('data', 'text', name));
const gptq = (targets: string, evaluate = true): string => `
model: ${JSON.stringify(sharedPath('data', 'models', 'stories260K'))}
output: {dir: out}
device: cpu
calibration: {dataset: ${rows('tinystories-calibration.jsonl')}, num_calibration_samples: 6, max_seq_length: 96}
${evaluate ? `evaluate: {kl_divergence: {dataset: ${rows('tinystories-validation.jsonl')}, num_samples: 4, max_seq_length: 64}}` : ''}
q_stage:
  q_modifiers:
    GPTQModifier:
      config_groups: {g: {targets: [${targets}], weights: {num_bits: 4, strategy: channel}}}
      ignore: [lm_head]
`;

function analyzed(
  plan: QuantizationPlan,
  bits: number[],
  endToEnd: boolean,
  stopAt = Infinity,
  kind: 'cpu' | 'cuda' = 'cpu',
  keepWeights = false,
  fisher = false,
): Promise<FinishedAnalysis & { fractions: number[] }> {
  const onDevice = async (device: Device) => {
    const fractions: number[] = [];
    let asked = 0;
    const throwIfCancelled = (): void => {
      if (asked++ === stopAt) throw new Error('stop');
    };
    const watch = { onProgress: (fraction: number) => void fractions.push(fraction), throwIfCancelled };
    return { ...(await analyze({ plan, bits, endToEnd, fisher, keepWeights, device, kind, version: 'test', watch })), fractions };
  };
  return withDevice(onDevice, 2, kind);
}

function read(dir: string): SensitivityAnalysis {
  const checked = asSensitivity(JSON.parse(readFileSync(path.join(dir, 'sensitivity.json'), 'utf8')));
  assert.ok('analysis' in checked, 'error' in checked ? checked.error : '');
  return checked.analysis;
}

const close = (actual: number | null | undefined, expected: number | null | undefined, what: string, bound = 1e-5): void =>
  assert.ok(
    typeof actual === 'number' && typeof expected === 'number' && Math.abs(actual - expected) <= bound * Math.abs(expected),
    `${what}: ${actual}, not ${expected}`,
  );

test('each figure is that of a run that quantizes the layer alone', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, gptq('"re:.*layers.1.*"'));
    const { fractions, ...found } = await analyzed(plan, [3, 4], true);
    assert.equal(fractions.at(-1), 1);
    const analysis = read(found.dir);
    assert.equal(analysis.layers.length, 7);
    assert.ok(analysis.end_to_end && analysis.end_to_end.perplexity > 1 && analysis.metrics.length >= 10);
    for (const role of ['v_proj', 'down_proj']) {
      const layer = analysis.layers.find((one) => one.role === role);
      assert.ok(layer?.activations);
      const run = await runToCompletion({
        ...(await planIn(dir, gptq(`"re:${layer.name.replaceAll('.', '[.]')}$"`))),
        output: { dir: path.join(dir, role), max_shard_bytes: 1e9, gguf: null },
      });
      const [alone] = run.report.layers;
      const candidate = layer.candidates.find(({ num_bits }) => num_bits === 4);
      assert.ok(alone && candidate);
      assert.equal(candidate.bytes, alone.bytes_after);
      for (const key of ['weight_mse', 'weight_sqnr_db', 'weight_cosine', 'relative_output_error'] as const)
        close(candidate[key], alone[key], `${role} ${key}`);
      const divergence = run.report.quality?.kl_divergence;
      close(candidate.mean_kld, divergence?.mean_kld, `${role} KL`, 1e-4);
      close(candidate.perplexity_change, divergence && divergence.perplexity - divergence.perplexity_original, `${role} perplexity`, 1e-3);
      const three = layer.candidates.find(({ num_bits }) => num_bits === 3);
      assert.ok((three?.relative_output_error ?? 0) > (candidate.relative_output_error ?? 1) && (three?.bytes ?? 0) < candidate.bytes);
    }
    const groups = new Map(analysis.layers.map(({ role, group }) => [role, group]));
    assert.equal(groups.get('q_proj'), groups.get('v_proj'));
    assert.equal(groups.get('gate_proj'), groups.get('up_proj'));
    assert.notEqual(groups.get('down_proj'), groups.get('gate_proj'));
  }),
);

test('the (emulated) CUDA backend finds the same figures', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const recipe = gptq('"re:.*layers.1.*(v|down)_proj$"').replaceAll(/samples: \d/g, 'samples: 2');
    const plan = await planIn(dir, recipe);
    const on = async (kind: 'cpu' | 'cuda') =>
      read((await analyzed({ ...plan, output: { ...plan.output, dir: path.join(dir, kind) } }, [3], true, Infinity, kind)).dir);
    const [cpu, cuda] = [await on('cpu'), await on('cuda')];
    assert.equal(cuda.layers.length, 2);
    for (const [index, layer] of cuda.layers.entries()) {
      const expected = cpu.layers[index];
      close(layer.activations?.kurtosis, expected?.activations?.kurtosis, `${layer.name} kurtosis`, 1e-4);
      close(layer.activations?.max_over_median, expected?.activations?.max_over_median, `${layer.name} outliers`, 1e-4);
      const [candidate, other] = [layer.candidates[0], expected?.candidates[0]];
      assert.equal(candidate?.bytes, other?.bytes);
      // GPTQ spreads every rounding error: a code that falls the other way changes all behind it in its row.
      for (const key of ['weight_mse', 'relative_output_error', 'mean_kld'] as const)
        close(candidate?.[key], other?.[key], `${layer.name} ${key}`, 0.05);
    }
  }),
);

test(
  'an interrupted analysis continues and ends with the same figures; more bits measure only what is new',
  { skip: skipWithoutShared },
  () =>
    inTemporaryFolder(async (dir) => {
      const plan = await planIn(dir, gptq('Linear', false));
      const first = await analyzed(plan, [2, 4], false);
      assert.equal(first.resumed, 0);
      const whole = readFileSync(path.join(first.dir, 'sensitivity.json'), 'utf8');
      const arrays = readFileSync(path.join(first.dir, 'activations.bin'));
      // A journal that a kill cut short in the middle of a line.
      const journal = path.join(first.dir, 'journal.jsonl');
      const text = readFileSync(journal, 'utf8');
      writeFileSync(journal, text.slice(0, text.length * 0.6));
      const again = await analyzed(plan, [2, 4], false);
      assert.ok(again.resumed > 5 && again.resumed < 70, `${again.resumed}`);
      assert.equal(readFileSync(path.join(first.dir, 'sensitivity.json'), 'utf8'), whole);
      assert.deepEqual(readFileSync(path.join(first.dir, 'activations.bin')), arrays);
      const more = await analyzed(plan, [2, 3, 4], false);
      assert.equal(more.resumed, 70);
      assert.deepEqual(
        read(more.dir).layers[0]?.candidates.map(({ num_bits }) => num_bits),
        [2, 3, 4],
      );
      const fresh = path.join(dir, 'fresh');
      const other = { ...plan, output: { ...plan.output, dir: fresh } };
      await assert.rejects(analyzed(other, [2, 4], false, 60), /^Error: stop$/);
      const resumed = await analyzed(other, [2, 4], false);
      assert.equal(readFileSync(path.join(resumed.dir, 'sensitivity.json'), 'utf8'), whole);
    }),
);

test('other weights under the same plan: what was found of the weights before counts for nothing', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    cpSync(sharedPath('data', 'models', 'stories260K'), model, { recursive: true });
    const recipe = gptq('"re:.*layers.1.*q_proj"').replace(
      JSON.stringify(sharedPath('data', 'models', 'stories260K')),
      JSON.stringify(model),
    );
    const resumed = async (): Promise<number> => (await analyzed(await planIn(dir, recipe), [4], false)).resumed;
    assert.deepEqual([await resumed(), await resumed()], [0, 1]);
    negateWeights(path.join(model, 'model.safetensors'));
    assert.deepEqual([await resumed(), await resumed()], [0, 1]);
  }),
);

test('gradients that cannot be had do not have every candidate measured again', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const resolved = await planIn(dir, gptq('Linear', false));
    // Rows that predict nothing: known only when they are tokens.
    const plan = { ...resolved, calibration: { ...resolved.calibration!, max_seq_length: 1 } };
    const asked = () => analyzed(plan, [4], false, Infinity, 'cpu', false, true);
    const first = await asked();
    assert.match(read(first.dir).not_measured.join(' '), /fisher_loss and fisher_trace: no calibration row has two tokens/);
    const journal = () => readFileSync(path.join(first.dir, 'journal.jsonl'), 'utf8').split('\n').sort();
    const known = journal();
    await asked();
    assert.deepEqual(journal(), known);
  }),
);

test('squared gradients need two bytes of disk for each weight, and are refused where they have none', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, gptq('Linear', false));
    const first = plan.layers.find(({ block }) => block !== null)!;
    const large = { ...plan, layers: plan.layers.map((layer) => (layer === first ? { ...layer, rows: 1e12 } : layer)) };
    assert.equal(fisherCost(large, 0).gradient_bytes - fisherCost(plan, 0).gradient_bytes, 2 * (1e12 - first.rows) * first.columns);
    await assert.rejects(
      analyzed(large, [4], false, Infinity, 'cpu', false, true),
      failureCode('disk-full', /analysis with the Fisher information needs 344.0 TB of disk in .*out\.analysis/),
    );
  }),
);

test('nothing temporary is left by an analysis that is stopped, nor what one that was killed has left', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, gptq('"re:.*layers.1.*"'));
    const temporary = path.join(`${plan.output.dir}.analysis`, 'temporary');
    const asked = (stopAt: number) => analyzed(plan, [4], true, stopAt, 'cpu', false, true);
    let seen = false;
    // Somewhere among the batches, the candidates come after the gradients.
    for (const stopAt of [12, 60]) {
      mkdirSync(path.join(temporary, 'fisher'), { recursive: true });
      writeFileSync(path.join(temporary, 'fisher', '99.bf16'), 'of an analysis that was killed');
      await assert.rejects(asked(stopAt), /^Error: stop$/);
      assert.ok(!existsSync(temporary));
    }
    await withDevice(async (device) => {
      const watch = {
        onProgress: () =>
          void (seen ||= existsSync(path.join(temporary, 'fisher')) && !existsSync(path.join(temporary, 'fisher', '99.bf16'))),
        throwIfCancelled: () => undefined,
      };
      mkdirSync(path.join(temporary, 'fisher'), { recursive: true });
      writeFileSync(path.join(temporary, 'fisher', '99.bf16'), 'of an analysis that was killed');
      await analyze({ plan, bits: [4], endToEnd: true, fisher: true, keepWeights: false, device, kind: 'cpu', version: 'test', watch });
    }, 2);
    assert.ok(seen, 'squared gradients were on disk while it worked');
    assert.ok(!existsSync(temporary));
  }),
);

test('what cannot be analyzed is refused with the reason', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, gptq('Linear', false));
    const refused = (asked: Promise<unknown>, why: RegExp) => assert.rejects(asked, failureCode('analysis-impossible', why));
    await refused(analyzed(plan, [9], false), /from 2 to 8, and 9 was given/);
    await refused(analyzed(plan, [], false), /none was given/);
    await refused(analyzed(plan, [4], true), /the recipe has neither/);
    await refused(analyzed({ ...plan, layers: [] }, [4], false), /quantizes no layer/);
    const withFisher = (changes: Partial<QuantizationPlan>) => analyzed({ ...plan, ...changes }, [4], false, Infinity, 'cpu', false, true);
    await refused(withFisher({ calibration: null }), /gradients of calibration rows, and the recipe has none/);
    const embedding = { ...plan.layers.find(({ block }) => block !== null)!, name: 'model.embed_tokens', block: null };
    await refused(withFisher({ layers: [embedding] }), /linears of the blocks and of a head .* quantizes none of these/);
    // Nothing has begun.
    assert.ok(!existsSync(`${plan.output.dir}.analysis`));
  }),
);

test('kurtosis and outliers from power sums', () => {
  // Two channels of three tokens.
  const values = [
    [1, -2],
    [3, 10],
    [-4, 0],
  ];
  const moments = Float64Array.from([
    ...[1, 2, 3, 4].flatMap((power) => [0, 1].map((column) => values.reduce((sum, row) => sum + row[column]! ** power, 0))),
    ...[0, 1].map((column) => Math.max(...values.map((row) => Math.abs(row[column]!)))),
  ]);
  const flat = values.flat();
  const mean = flat.reduce((sum, value) => sum + value, 0) / 6;
  const central = (power: number): number => flat.reduce((sum, value) => sum + (value - mean) ** power, 0) / 6;
  const { kurtosis, max_over_median, absmax, meanDiagonal } = outliersOf(moments, 3, 1);
  close(kurtosis, central(4) / central(2) ** 2, 'kurtosis', 1e-12);
  assert.deepEqual([max_over_median, [...absmax]], [10 / 7, [4, 10]]);
  assert.equal(
    meanDiagonal,
    flat.reduce((sum, value) => sum + value * value, 0),
  );
  assert.equal(outliersOf(Float64Array.from([0, 0, 0, 0, 0]), 4, 1).kurtosis, null);
});
