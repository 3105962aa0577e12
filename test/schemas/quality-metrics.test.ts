// The list of figures: every one says what it is, and shows what a report has of it, on both sides.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Generation, MultipleChoice, Percentiles } from '../../schemas/src/generated/report.js';
import { qualityMetrics, type Quality } from '../../schemas/src/quality-metrics.js';

const spread: Percentiles = {
  min: 0,
  p0_1: 0,
  p1: -0.25,
  p5: 0,
  p10: 0,
  p25: 0,
  median: 0,
  p75: 0,
  p90: 0,
  p95: 0,
  p99: 0.5,
  p99_9: 1,
  max: 2,
};
const choice = (acc: number): MultipleChoice => ({
  dataset: 'q',
  questions: 1000,
  acc,
  acc_stderr: 0,
  acc_norm: acc / 2,
  acc_norm_stderr: 0,
  truncated: 0,
});
const generation = (exact: number): Generation => ({
  dataset: 'g',
  questions: 100,
  exact_match_strict: exact,
  exact_match_strict_stderr: 0,
  exact_match_flexible: exact * 2,
  exact_match_flexible_stderr: 0,
  tokens: 1,
  truncated: 0,
  seconds: 1,
});
const quality: Quality = {
  before: { dataset: 'a', perplexity: 3, nll: 1, tokens: 2000, documents: 1 },
  after: { dataset: 'a', perplexity: 3.5, nll: 1, tokens: 2000, documents: 1 },
  kl_divergence: {
    dataset: 'a',
    tokens: 2000,
    documents: 1,
    mean_kld: 0.01,
    kld_stderr: 0,
    kld: spread,
    mean_delta_p: 0,
    rms_delta_p: 0.02,
    delta_p: spread,
    same_top: 0.9,
    same_top_stderr: 0,
    perplexity_original: 3,
    perplexity: 3.5,
    mean_ln_ratio: 0,
    ln_ratio_stderr: 0,
  },
  multiple_choice: { before: choice(0.5), after: choice(0.4) },
  generation: { before: null, after: generation(0.25) },
};

test('each figure has its values, as text with what was measured', () => {
  const shown = qualityMetrics.map((metric) => {
    const { before, after } = metric.valueOf(quality);
    return [
      metric.key,
      before === null ? null : metric.format(before),
      after === null ? null : metric.format(after),
      metric.extent(quality),
    ];
  });
  assert.deepEqual(shown, [
    ['perplexity', '3.0000', '3.5000', '2,000 tokens'],
    ['mean_kld', null, '0.010000', '2,000 tokens'],
    ['kld_p99', null, '0.500000', '2,000 tokens'],
    ['rms_delta_p', null, '2.00 %', '2,000 tokens'],
    ['delta_p_p1', null, '-25.00 %', '2,000 tokens'],
    ['same_top', null, '90.00 %', '2,000 tokens'],
    ['acc', '50.00 %', '40.00 %', '1,000 questions'],
    ['acc_norm', '25.00 %', '20.00 %', '1,000 questions'],
    ['exact_match_strict', null, '25.00 %', '100 questions'],
    ['exact_match_flexible', null, '50.00 %', '100 questions'],
  ]);
  for (const { name, definition, unit, source } of qualityMetrics) assert.ok(name && definition.length > 20 && unit && source);
});

test('a report of an earlier version has perplexity alone', () => {
  const earlier: Quality = { before: quality.before, after: quality.after };
  for (const metric of qualityMetrics.slice(1)) assert.deepEqual(metric.valueOf(earlier), { before: null, after: null });
});
