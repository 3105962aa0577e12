// Which results a run warns of: a perplexity that has doubled, a KL divergence above ln 2, and without either, layers that are mostly error.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { ErrorDepth, Perplexity, RunReport } from '../../../schemas/src/generated/report.js';
import { collapseProblem } from '../../../worker/src/report/quality-collapse.js';

const recipe_path = ['quant_stage', 'quant_modifiers', 'QuantizationModifier'];
const plan = {
  layers: [{ name: 'model.layers.0.mlp.up_proj', quantizer: { name: 'rtn', recipe_path } }],
  pruning: [],
} as unknown as QuantizationPlan;
const perplexity = (value: number): Perplexity => ({
  dataset: 'rows',
  perplexity: value,
  nll: Math.log(value) * 100,
  tokens: 100,
  documents: 1,
});
const quality = (parts: Partial<NonNullable<RunReport['quality']>>): RunReport['quality'] => ({ before: null, after: null, ...parts });
const depth = (...totals: (number | null)[]): ErrorDepth =>
  ({
    blocks: [],
    layers: totals.map((total, at) => ({ name: `model.layers.${at}.mlp.up_proj`, total, weight: total, activation: 0, propagated: 0 })),
  }) as unknown as ErrorDepth;

const told = (of: RunReport['quality'], errors: ErrorDepth | null): string | undefined => collapseProblem(plan, of, errors)?.message;

test('a perplexity that has doubled, and one that has not', () => {
  assert.equal(told(quality({ before: perplexity(3.78), after: perplexity(7.5) }), null), undefined);
  const problem = collapseProblem(plan, quality({ before: perplexity(1.5076), after: perplexity(29.047) }), depth(0.4));
  assert.match(problem?.message ?? '', /is 29\.05 and was 1\.508 before: .*up_proj is the first layer that diverges.*BeaconModifier/);
  assert.equal(problem?.severity, 'warning');
  assert.equal(problem?.layer, 'model.layers.0.mlp.up_proj');
  assert.deepEqual(problem?.recipe_path, recipe_path);
  assert.match(told(quality({ before: perplexity(4), after: { ...perplexity(4), nll: NaN, perplexity: NaN } }), null) ?? '', /is NaN/);
});

test('where layers were pruned, the zeros are named before the bits', () => {
  const collapsed = quality({ before: perplexity(3.783), after: perplexity(33.04) });
  assert.doesNotMatch(told(collapsed, null) ?? '', /sparsity/);
  const pruned = { ...plan, pruning: [{ name: 'sparsegpt' }] } as unknown as QuantizationPlan;
  assert.match(
    collapseProblem(pruned, collapsed, null)?.message ?? '',
    /could do\. +The layers were pruned .* lower sparsity .* Else give the layers more bits/,
  );
});

test('a KL divergence above ln 2', () => {
  const kl_divergence = (mean_kld: number) => quality({ kl_divergence: { mean_kld } as never });
  assert.equal(told(kl_divergence(0.69), null), undefined);
  assert.match(told(kl_divergence(0.7), null) ?? '', /is 0\.7 nats/);
});

test('what is measured decides; nothing measured: half of the layers', () => {
  const mostlyError = depth(0.1, 0.3, 0.5);
  assert.equal(told(quality({ before: perplexity(4), after: perplexity(5) }), mostlyError), undefined);
  assert.match(told(null, mostlyError) ?? '', /half of the 3 linears 30 % or more .*add evaluate/);
  assert.match(told(null, depth(0.1, null, null)) ?? '', /linears all of the output/);
  assert.equal(told(null, depth(0.1, 0.19, 0.5)), undefined);
  assert.equal(told(null, null), undefined);
});
