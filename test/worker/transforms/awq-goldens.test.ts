// AWQ against the searches of the real llm-compressor on stories260K (test/parity/awq-goldens.py): the point of the grid, its losses, the scales, and
// the perplexity of what is written.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';
import { floatsOf, inTemporaryFolder, readTensors, resolvePlan, runToCompletion } from '../../support/worker-run.js';

interface Golden {
  recipe: string;
  rows: number;
  perplexity?: number;
  mappings: {
    smooth_layer: string;
    balance_layers: string[];
    parent: string;
    ratio: number;
    duo_scaling: boolean;
    losses: number[];
    scales: number[];
  }[];
}

const readGolden = (name: string): Golden =>
  JSON.parse(readFileSync(path.join(repositoryRoot, 'test', 'golden', 'awq', `${name}.json`), 'utf8')) as Golden;

const text = (name: string): string => sharedPath('data', 'text', `tinystories-${name}.jsonl`);

async function runGolden(dir: string, { recipe, rows, perplexity }: Golden): Promise<RunReport> {
  const plan = await resolvePlan({
    recipe,
    model: sharedPath('data', 'models', 'stories260K'),
    output: path.join(dir, 'out'),
    calibration: { dataset: text('calibration'), num_calibration_samples: rows, max_seq_length: 512 },
    ...(perplexity === undefined ? {} : { evaluate: { dataset: text('validation'), max_seq_length: 512 } }),
  });
  return (await runToCompletion(plan)).report;
}

const relative = (ours: number | null, theirs: number): number => Math.abs((ours ?? NaN) / theirs - 1);

for (const name of ['w4-channel-asymmetric', 'w3-group4-asymmetric-both', 'w4-group4-asymmetric-activations-alone'])
  test(`${name}: the choice, the losses and the scales of the real package, in every block`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const golden = readGolden(name);
      const { transforms = [], problems } = await runGolden(dir, golden);
      assert.deepEqual(
        problems.map(({ code }) => code),
        ['awq-mapping-passed-over'],
        'v_proj and o_proj, whose heads share values',
      );
      assert.equal(transforms.length, 15);
      const written = await readTensors(path.join(dir, 'out', 'model.safetensors'));
      const source = await readTensors(sharedPath('data', 'models', 'stories260K', 'model.safetensors'));
      for (const theirs of golden.mappings) {
        const ours = transforms.find(({ smooth_layer }) => smooth_layer === theirs.smooth_layer);
        assert.ok(ours, theirs.smooth_layer);
        const { balance_layers, parent, ratio, duo_scaling } = ours;
        assert.deepEqual({ balance_layers, parent }, { balance_layers: theirs.balance_layers, parent: theirs.parent });
        // Points whose losses differ by less than their floats do are as good as each other.
        const isTied = theirs.losses.filter((loss) => loss <= Math.min(...theirs.losses) * (1 + 1e-5)).length > 1;
        if (!isTied)
          assert.deepEqual({ ratio, duo_scaling }, { ratio: theirs.ratio, duo_scaling: theirs.duo_scaling }, theirs.smooth_layer);
        assert.ok(relative(ours.loss_before, theirs.losses[0] ?? NaN) < 1e-5, `${theirs.smooth_layer}: before`);
        assert.ok(relative(ours.loss_after, Math.min(...theirs.losses)) < 1e-5, `${theirs.smooth_layer}: after`);
        if (isTied || !theirs.smooth_layer.endsWith('norm')) continue;
        // A norm is written as it was divided: its quotient is the scale.
        const [before, after] = [source, written].map((tensors) => floatsOf(tensors.get(`${theirs.smooth_layer}.weight`)!));
        theirs.scales.forEach((scale, channel) => {
          const found = (before![channel] ?? NaN) / (after![channel] ?? NaN);
          assert.ok(relative(found, scale) < 2e-6, `${theirs.smooth_layer}, channel ${channel}: ${found} against ${scale}`);
        });
      }
    }),
  );

/** Rounded to nearest, without AWQ: as in perplexity.test.ts. */
for (const [name, rtn] of [
  ['w4-channel', 4.4064],
  ['w4-group4', 4.0463],
] as const)
  test(`${name}: better than without AWQ, and no worse than the real package by half a percent`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const golden = readGolden(name);
      const { quality, transforms = [] } = await runGolden(dir, golden);
      assert.equal(quality?.before?.perplexity.toFixed(4), '3.7831');
      const found = quality.after?.perplexity ?? NaN;
      assert.ok(found < rtn, `${found} against ${rtn}`);
      assert.ok(found / (golden.perplexity ?? NaN) < 1.005, `${found} against ${golden.perplexity}`);
      // Both see the same rows in the first block. The largest weight of a symmetric cell is a tie, which the last bit decides: with groups of 4 that is
      // every fourth weight, and moves the loss by some percent.
      for (const theirs of golden.mappings.slice(0, 3)) {
        const ours = transforms.find(({ smooth_layer }) => smooth_layer === theirs.smooth_layer);
        assert.ok(relative(ours?.loss_before ?? null, theirs.losses[0] ?? NaN) < 1e-5, theirs.smooth_layer);
        assert.ok(relative(ours?.loss_after ?? null, Math.min(...theirs.losses)) < 0.1, theirs.smooth_layer);
      }
    }),
  );
