// The estimate of an analysis against what analyses were measured to take: within one and a half times, either way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analysisNeed, needOf } from '../../../schemas/src/analysis-measures.js';
import type { AnalysisNeed, PlanEstimate, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { analysisNeeds } from '../../../server/src/plan/estimate-analysis.js';
import { weightArgs } from '../../support/layer-plan.js';
import { describedLlama, layersOf, type ModelSizes } from '../../support/plan-inputs.js';

const scheme: QuantizationScheme = {
  weights: weightArgs({ num_bits: 4 }),
  input_activations: null,
  output_activations: null,
  format: 'pack-quantized',
};
const m512: ModelSizes = { hidden: 512, intermediate: 1408, blocks: 4, vocabulary: 8000, heads: 8, kvHeads: 4, dtype: 'F32' };
const m1024: ModelSizes = { hidden: 1024, intermediate: 2816, blocks: 2, vocabulary: 16_000, heads: 8, kvHeads: 4, dtype: 'F32' };
const rowsOf = (samples: number) => ({ samples, tokens: 512, totalTokens: samples * 512 });

function needs(sizes: ModelSizes, samples: number | null, text: number | null, dtype: ModelSizes['dtype'] = 'F32'): AnalysisNeed[] {
  const model = describedLlama({ ...sizes, dtype });
  const layers = layersOf(model, scheme, 'gptq');
  const rows = { calibration: samples === null ? null : rowsOf(samples), evaluation: text === null ? null : rowsOf(text) };
  return analysisNeeds({ model, layers, ...rows, transforms: [], memoryLimit: 16e9 }, 100e6);
}

const estimated = (all: AnalysisNeed[]): { estimate: PlanEstimate } => ({ estimate: { analysis: all } as PlanEstimate });

/** Resident size of a process that analyzes with GPTQ and 4 bits alone, in MB: Linux, glibc, Node 20, 2 cores; the whole model on 4 rows. */
for (const [what, sizes, samples, asked, mb] of [
  ['m512, layers', m512, 64, {}, 389],
  ['m512 with Fisher', m512, 16, { fisher: true }, 348],
  ['m512 with Fisher, more rows', m512, 64, { fisher: true }, 587],
  ['m512 with the Hessian', m512, 16, { hessian_probes: 1 }, 384],
  ['m512 end to end', m512, 16, { end_to_end: true }, 527],
  ['m1024, layers', m1024, 16, {}, 535],
  ['m1024 with Fisher', m1024, 16, { fisher: true }, 546],
  ['m1024 with the Hessian', m1024, 16, { hessian_probes: 1 }, 628],
  ['m1024 end to end', m1024, 16, { end_to_end: true }, 711],
] as const)
  test(`${what}: measured ${mb} MB`, () => {
    const need = analysisNeed(estimated(needs(sizes, samples, 4)), { end_to_end: false, fisher: false, hessian_probes: 0, ...asked });
    assert.ok(need);
    const ratio = need.peak_memory_bytes / (mb * 1e6);
    assert.ok(ratio > 0.9 && ratio < 1.5, `${(need.peak_memory_bytes / 1e6).toFixed(0)} MB, ${ratio.toFixed(2)} times the measured`);
  });

test('there is a need for all that can be measured, the least is never above the peak, and each stage has its name', () => {
  const all = needs(m512, 16, 4);
  assert.deepEqual(
    all.map(({ measure, peak_memory_stage }) => [measure, peak_memory_stage]),
    [
      ['layers', 'calibrating a block'],
      ['end_to_end', 'comparing predictions'],
      ['search', 'comparing predictions'],
      ['fisher', 'taking gradients through a block'],
      ['hessian_trace', 'taking gradients through a block'],
    ],
  );
  for (const one of [...all, ...all.map(({ cuda }) => cuda)]) assert.ok(one.least_memory_bytes <= one.peak_memory_bytes);
  const names = (samples: number | null, text: number | null): string[] => needs(m512, samples, text).map(({ measure }) => measure);
  assert.deepEqual(names(null, null), ['layers']);
  assert.deepEqual(names(null, 4), ['layers', 'end_to_end', 'search']);
  const [alone] = needs(m512, null, null);
  assert.equal(alone?.peak_memory_stage, 'quantizing a layer');
  const wide = needs({ ...m512, vocabulary: 400_000 }, 16, null);
  assert.equal(wide.find(({ measure }) => measure === 'fisher')?.peak_memory_stage, 'taking gradients through the head');
});

test('what is asked together takes what the most of it takes, on each kind of device', () => {
  const plan = estimated(needs(m512, 16, 4));
  const [layers, end_to_end, fisher] = (['layers', 'end_to_end', 'fisher'] as const).map((measure) => needOf(plan, [measure]));
  const asked = analysisNeed(plan, { end_to_end: true, fisher: true, hessian_probes: 0 });
  assert.ok(layers && end_to_end && fisher && asked);
  for (const key of ['peak_memory_bytes', 'least_memory_bytes'] as const) {
    assert.equal(asked[key], Math.max(layers[key], end_to_end[key], fisher[key]));
    assert.equal(asked.cuda[key], Math.max(layers.cuda[key], end_to_end.cuda[key], fisher.cuda[key]));
  }
  assert.equal(needOf(estimated(needs(m512, null, null)), ['search']), null);
});
