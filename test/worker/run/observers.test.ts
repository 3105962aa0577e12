// Whole runs with observers that search: they need calibration where they weigh by it, and say where what they need is not there.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runPlan, runToCompletion } from '../../support/worker-run.js';

const rows = [
  [5, 6, 7, 8, 9, 10, 3, 4],
  [11, 12, 13, 2, 9],
  [1, 2, 3, 4, 5, 6, 7, 8],
];

async function reportOf(dir: string, name: string, body: string): Promise<RunReport> {
  const model = path.join(dir, 'model');
  writeTinyLlama(model, 'random');
  const dataset = path.join(dir, 'rows.jsonl');
  writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
  const recipe = `quant_stage:\n  quant_modifiers:\n    ${body}\n`;
  const plan = await resolvePlan({ recipe, model, output: path.join(dir, name), calibration: { dataset, num_calibration_samples: 3 } });
  return (await runToCompletion(plan)).report;
}

const weights = (observer: string, more = ''): string =>
  `QuantizationModifier: {ignore: [lm_head], requires_calibration_data: true, config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, strategy: channel, observer: ${observer}${more}}}}}`;

test('imatrix_mse has a smaller output error than the same search without importance', () =>
  inTemporaryFolder(async (dir) => {
    const errorOf = async (name: string, observer: string, more: string): Promise<number> => {
      const { layers, problems } = await reportOf(dir, name, weights(observer, more));
      assert.deepEqual(
        problems.filter(({ code }) => code.startsWith('imatrix')),
        [],
      );
      return layers.reduce((sum, { relative_output_error }) => sum + (relative_output_error ?? NaN), 0);
    };
    const kwargs = ', observer_kwargs: {norm: 2, maxshrink: 0.6, grid: 50, patience: 50}';
    const [weighed, alike] = [await errorOf('weighed', 'imatrix_mse', kwargs), await errorOf('alike', 'memoryless_mse', kwargs)];
    assert.ok(weighed < alike, `${weighed} against ${alike}`);
  }));

test('imatrix-without-importance: a scale for the whole tensor, on the line of its modifier', () =>
  inTemporaryFolder(async (dir) => {
    const body = weights('imatrix_mse').replace('strategy: channel', 'strategy: tensor');
    const { problems } = await reportOf(dir, 'out', body);
    const told = problems.filter(({ code }) => code === 'imatrix-without-importance');
    assert.equal(told.length, 7 * tinyLlama.blocks);
    assert.match(told[0]?.message ?? '', /weighs all columns alike: its strategy is tensor/);
    assert.ok(told.every(({ recipe_path }) => recipe_path?.includes('QuantizationModifier')));
  }));

test('imatrix_mse with strict: true ends the run where importance is missing', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const dataset = path.join(dir, 'rows.jsonl');
    writeFileSync(dataset, '{"input_ids": [5, 6, 7]}\n');
    const body = weights('imatrix_mse', ', observer_kwargs: {strict: true}').replace('strategy: channel', 'strategy: tensor');
    const recipe = `quant_stage:\n  quant_modifiers:\n    ${body}\n`;
    const plan = await resolvePlan({ recipe, model, output: path.join(dir, 'out'), calibration: { dataset } });
    const { ended } = await runPlan(plan);
    assert.equal(ended.outcome, 'failed');
    assert.match(ended.failure?.message ?? '', /cannot be observed by imatrix_mse with strict: true: its strategy is tensor/);
  }));

for (const [observer, isLastRow] of [
  ['mse', false],
  ['minmax', false],
  ['memoryless_mse', true],
  ['nvfp4_expanded_mse', true],
] as const)
  test(`calibrated inputs by ${observer}, per tensor and for NVFP4: a run${isLastRow ? ', which says that the last row alone counts' : ''}`, () =>
    inTemporaryFolder(async (dir) => {
      const int8 = `QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}, input_activations: {num_bits: 8, type: int, strategy: tensor, dynamic: false, observer: ${observer}}}}}`;
      const nvfp4 = `QuantizationModifier: {ignore: [lm_head], scheme: NVFP4, input_observer: ${observer}}`;
      for (const [name, body] of [
        ['int8', int8],
        ['nvfp4', nvfp4],
      ] as const) {
        const { problems } = await reportOf(dir, name, body);
        const told = problems.filter(({ code }) => code === 'static-range-of-last-row');
        assert.equal(told.length, isLastRow ? 7 * tinyLlama.blocks : 0, name);
        if (isLastRow) assert.match(told[0]?.message ?? '', new RegExp(`observer is ${observer}\\. Write observer: mse`));
      }
    }));

for (const observer of ['percentile', 'histogram', 'entropy'])
  test(`calibrated inputs by ${observer}, Bitwright's own: a run${observer === 'entropy' ? ', which says that these rows are too few' : ''}`, () =>
    inTemporaryFolder(async (dir) => {
      const body = `QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}, input_activations: {num_bits: 8, type: int, strategy: tensor, dynamic: false, observer: ${observer}}}}}`;
      const { problems } = await reportOf(dir, 'out', body);
      const told = problems.filter(({ code }) => code === 'input-range-uncertain');
      assert.equal(told.length, observer === 'entropy' ? 7 * tinyLlama.blocks : 0);
      assert.ok(told.every(({ recipe_path }) => recipe_path?.includes('QuantizationModifier')));
    }));
