// Output error and perplexity of the methods in one order: a part of the table of bench/quality that takes seconds.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

async function reportOf(dir: string, modifier: string, fields: string, num_bits: number, scope: string): Promise<RunReport> {
  const text = (name: string): string => sharedPath('data', 'text', `tinystories-${name}.jsonl`);
  const body = `{ignore: [lm_head]${fields}, config_groups: {g: {targets: [Linear], weights: {num_bits: ${num_bits}, type: int, ${scope}}}}}`;
  const plan = await resolvePlan({
    recipe: `quant_stage:\n  quant_modifiers:\n    ${modifier}: ${body}\n`,
    model: sharedPath('data', 'models', 'stories260K'),
    output: path.join(dir, `${modifier}${fields.length}-${scope.length}-${num_bits}`),
    calibration: { dataset: text('calibration'), num_calibration_samples: 32, max_seq_length: 512 },
    evaluate: { dataset: text('validation'), max_seq_length: 512 },
  });
  return (await runToCompletion(plan)).report;
}

const perplexity = ({ quality }: RunReport): number => quality?.after?.perplexity ?? NaN;

const hasCollapsed = ({ problems }: RunReport): boolean => problems.some(({ code }) => code === 'quality-collapsed');

/** Mean over the layers of a kind. */
function errors({ layers }: RunReport): Map<string, number> {
  const roles = [...new Set(layers.map(({ role }) => role))];
  return new Map(
    roles.map((role) => {
      const own = layers.filter((layer) => layer.role === role);
      return [role, own.reduce((sum, { relative_output_error }) => sum + (relative_output_error ?? NaN), 0) / own.length];
    }),
  );
}

for (const num_bits of [2, 3])
  test(
    `${num_bits} bits per channel: Beacon below GPTQ in output error on every kind of layer, and in perplexity`,
    { skip: skipWithoutShared },
    () =>
      inTemporaryFolder(async (dir) => {
        const gptq = await reportOf(dir, 'GPTQModifier', '', num_bits, 'strategy: channel');
        const beacon = await reportOf(dir, 'BeaconModifier', '', num_bits, 'strategy: channel');
        assert.equal(beacon.outcome, 'completed');
        for (const [role, error] of errors(gptq))
          assert.ok((errors(beacon).get(role) ?? NaN) < error, `${role}: ${errors(beacon).get(role)}, GPTQ ${error}`);
        // A peer's GPTQ on 512 rows reaches 580.84 and 8.0256.
        assert.ok(perplexity(beacon) < (num_bits === 2 ? 60 : 6.5), String(perplexity(beacon)));
        assert.ok(perplexity(beacon) < perplexity(gptq));
        // The perplexity of the model is 3.78.
        for (const report of [gptq, beacon]) assert.equal(hasCollapsed(report), perplexity(report) > 2 * 3.7831);
        assert.ok(hasCollapsed(gptq));
      }),
  );

test('8 bits per channel: Beacon is not above GPTQ in output error on any kind of layer', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const gptq = await reportOf(dir, 'GPTQModifier', '', 8, 'strategy: channel');
    const beacon = await reportOf(dir, 'BeaconModifier', '', 8, 'strategy: channel');
    for (const [role, error] of errors(gptq))
      assert.ok((errors(beacon).get(role) ?? NaN) <= error, `${role}: ${errors(beacon).get(role)}, GPTQ ${error}`);
  }),
);

test('2 bits per channel: error correction lowers the perplexity, centering the output error', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const mean = (report: RunReport): number => [...errors(report).values()].reduce((sum, error) => sum + error, 0) / errors(report).size;
    const beacon = (fields: string, symmetric: boolean): Promise<RunReport> =>
      reportOf(dir, 'BeaconModifier', fields, 2, `symmetric: ${symmetric}, strategy: channel`);
    const plain = perplexity(await beacon('', true));
    const corrected = perplexity(await beacon(', error_correction: true', true));
    assert.ok(corrected < plain, `corrected ${corrected}, not corrected ${plain}`);
    const centered = mean(await beacon('', false));
    const observed = mean(await beacon(', centering: false', false));
    assert.ok(centered <= observed * 1.005, `centered ${centered}, with the zero point of the observer ${observed}`);
  }),
);

test('3 bits per channel: correcting errors pays where a block is seen as far as it is quantized', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const of = async (modifier: string, fields = ''): Promise<number> =>
      perplexity(await reportOf(dir, modifier, fields, 3, 'strategy: channel'));
    const [gptq, qronos] = [await of('GPTQModifier'), await of('QronosModifier')];
    // On a block that was seen once, with the weights before quantization, Qronos reached 9.3 and GPTQ 7.7 (64 rows).
    assert.ok(qronos < gptq, `Qronos ${qronos}, GPTQ ${gptq}`);
    const [plain, whole] = [await of('BeaconModifier'), await of('BeaconModifier', ', error_correction: true, correction_strength: 1')];
    assert.ok(whole < plain, `Beacon corrected all the way ${whole}, not corrected ${plain}`);
  }),
);
