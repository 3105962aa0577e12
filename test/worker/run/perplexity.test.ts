// Whole runs on a trained model: the perplexity of the written file against llm-compressor's own (the numbers are peers' results on the same rows).
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const unquantized = 3.783149;
const group4 = 'strategy: group, group_size: 4';
const cases = [
  { bits: 4, scope: 'strategy: channel', rtn: 4.4064, gptq: 4.1763 },
  { bits: 4, scope: group4, rtn: 4.0463, gptq: 3.9585 },
  { bits: 3, scope: 'strategy: channel', rtn: 12.4211, gptq: 8.0256 },
  { bits: 2, scope: 'strategy: channel', rtn: 842.18, gptq: 580.84 },
];

for (const { bits, scope, ...expected } of cases)
  for (const [method, modifier] of [
    ['rtn', 'QuantizationModifier'],
    ['gptq', 'GPTQModifier'],
  ] as const)
    test(`${method}, ${bits} bits, ${scope}`, { skip: skipWithoutShared }, () =>
      inTemporaryFolder(async (dir) => {
        const text = (name: string): string => sharedPath('data', 'text', `tinystories-${name}.jsonl`);
        const recipe = `quant_stage:\n  quant_modifiers:\n    ${modifier}: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: ${bits}, type: int, ${scope}}}}}\n`;
        const plan = await resolvePlan({
          recipe,
          model: sharedPath('data', 'models', 'stories260K'),
          output: path.join(dir, 'out'),
          ...(method === 'gptq'
            ? { calibration: { dataset: text('calibration'), num_calibration_samples: 512, max_seq_length: 512 } }
            : {}),
          evaluate: { dataset: text('validation'), max_seq_length: 512 },
        });
        const { report } = await runToCompletion(plan);
        assert.equal(report.quality?.before?.tokens, 101_175);
        assert.ok(Math.abs(report.quality.before.perplexity - unquantized) < 0.0005, String(report.quality.before.perplexity));
        const relative = (report.quality.after?.perplexity ?? NaN) / expected[method] - 1;
        // Rounding to nearest is the same arithmetic; GPTQ's integers depend on float sums, and it may only be better than stated.
        assert.ok(
          method === 'rtn' ? Math.abs(relative) < 0.005 : relative < 0.005,
          `${report.quality.after?.perplexity} against ${expected[method]}`,
        );
      }),
    );
