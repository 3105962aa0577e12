// From an analysis to bits: groups add up their layers, budgets are read as written, and the sum says what the parts say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AllocationError } from '../../schemas/src/allocate-bits.js';
import type { LayerSensitivity, SensitivityAnalysis } from '../../schemas/src/generated/sensitivity.js';
import { bestMetric, bitGroups, budgetBytes, suggestBits, weightCount } from '../../schemas/src/suggest-bits.js';

const layer = (name: string, group: string, rows: number, sensitivity: number, bits = [2, 4, 8], hasKld = true): LayerSensitivity => ({
  name,
  role: name,
  block: 0,
  rows,
  columns: 64,
  group,
  bytes_before: rows * 128,
  weight_variance: 0.02,
  hessian_mean_diagonal: sensitivity,
  activations: null,
  candidates: bits.map((num_bits) => ({
    num_bits,
    scheme: `int${num_bits} channel sym`,
    quantizer: 'rtn',
    bytes: rows * 8 * num_bits + rows * 2,
    weight_mse: 4 ** -num_bits,
    weight_sqnr_db: 6 * num_bits,
    weight_cosine: 1,
    relative_output_error: sensitivity * 4 ** -num_bits,
    mean_kld: hasKld ? 2 * sensitivity * 4 ** -num_bits : null,
    perplexity_change: null,
  })),
});

const analysis = (layers: LayerSensitivity[]): SensitivityAnalysis => ({
  sensitivity_version: 1,
  bitwright_version: 'test',
  recipe: { path: null, sha256: '' },
  model: { dir: 'model', architecture_name: null, dtype: 'BF16' },
  calibration: null,
  end_to_end: null,
  bits: [2, 4, 8],
  metrics: [],
  not_measured: [],
  layers,
});

const layers = [layer('q', 'q', 64, 5), layer('k', 'q', 32, 1), layer('o', 'o', 64, 0.1), layer('down', 'down', 100, 1)];

test('a group has the bytes and losses of all its layers, and the candidates that all of them have', () => {
  const [q] = bitGroups(analysis(layers), 'mean_kld');
  assert.deepEqual(
    q?.layers.map(({ name }) => name),
    ['q', 'k'],
  );
  assert.deepEqual(q?.candidates[1], { scheme: '4 bit', bytes: 64 * 34 + 32 * 34, loss: 12 * 4 ** -4 });
  const [less] = bitGroups(analysis([layer('q', 'q', 64, 5), layer('k', 'q', 32, 1, [4, 8])]), 'weight_squared_error');
  assert.deepEqual(less?.bits, [4, 8]);
  assert.equal(less?.candidates[0]?.loss, 4 ** -4 * 64 * 96);
});

test('the choice spends bits where they count, within the budget, and beats every uniform one that fits', () => {
  const all = analysis(layers);
  for (const bits of [2.5, 3, 4.3, 6]) {
    const budget = (bits * weightCount(layers)) / 8;
    const found = suggestBits(all, budget);
    assert.ok(found.bytes <= budget && found.metric === 'mean_kld');
    for (const one of found.uniform) if (one.bitsPerWeight <= bits) assert.ok(found.loss <= one.loss);
    const bitsOf = (name: string): number => found.groups.find((group) => group.name === name)?.num_bits ?? 0;
    assert.ok(bitsOf('q') >= bitsOf('o'));
    assert.ok(found.curve.length > 1 && found.groups.every(({ closedFormBits }) => closedFormBits !== null));
  }
  const closed = suggestBits(all, (4 * weightCount(layers)) / 8).groups.map(({ closedFormBits }) => closedFormBits ?? NaN);
  assert.ok((closed[0] ?? 0) > (closed[2] ?? 0));
});

test('the metric is the one that tells most of those that are there', () => {
  assert.equal(bestMetric(analysis(layers)), 'mean_kld');
  assert.equal(bestMetric(analysis([...layers, layer('x', 'x', 8, 1, [2], false)])), 'relative_output_error');
  const predicted = [...layers, layer('x', 'x', 8, 1, [2], false)].map((one) => ({
    ...one,
    candidates: one.candidates.map((candidate) => ({ ...candidate, fisher_loss: 4 ** -candidate.num_bits })),
  }));
  assert.equal(bestMetric(analysis(predicted)), 'fisher_loss');
  const { metric, loss } = suggestBits(analysis(predicted.slice(0, 1)), 1e9, 'fisher_loss');
  assert.deepEqual([metric, loss], ['fisher_loss', 4 ** -Math.max(...predicted[0]!.candidates.map(({ num_bits }) => num_bits))]);
  // An embedding has no gradient: it cannot be added up with the others.
  const embedding = { ...predicted[0]!, candidates: predicted[0]!.candidates.map((candidate) => ({ ...candidate, fisher_loss: null })) };
  assert.equal(bestMetric(analysis([...predicted, embedding])), 'relative_output_error');
  assert.throws(
    () => suggestBits(analysis([layer('x', 'x', 8, 1, [2], false)]), 1e9, 'mean_kld'),
    (error: unknown) => error instanceof AllocationError && /x with 2 bits has no mean_kld/.test(error.message),
  );
  assert.throws(() => suggestBits(analysis(layers), 10), /the smallest schemes take 2\.250 bits per weight/);
});

test('what the trace of the Hessian predicts is added up where no trace is negative', () => {
  const probed = (value: number, one: LayerSensitivity): LayerSensitivity => ({
    ...one,
    hessian_trace: { value, standard_error: 0.25, probes: 8 },
    candidates: one.candidates.map((candidate) => ({ ...candidate, hessian_loss: value * 4 ** -candidate.num_bits })),
  });
  const [one, other] = [layer('x', 'x', 8, 1, [2, 4], false), layer('y', 'y', 8, 1, [2, 4], false)];
  const convex = analysis([probed(3, one), probed(0, other)]);
  assert.equal(bestMetric(convex), 'hessian_loss');
  // 6 bits for two layers of one size: the one that loses nothing gets the 2.
  const spent = suggestBits(convex, (3.25 * weightCount(convex.layers)) / 8);
  assert.deepEqual(
    spent.groups.map(({ num_bits }) => num_bits),
    [4, 2],
  );
  const concave = analysis([probed(3, one), probed(-0.125, other)]);
  assert.equal(bestMetric(concave), 'relative_output_error');
  assert.throws(
    () => suggestBits(concave, 1e9, 'hessian_loss'),
    (error: unknown) =>
      error instanceof AllocationError &&
      error.message ===
        'y has a trace of the Hessian of -0.125 ± 0.25, by which errors are a gain; losses that every layer has: relative_output_error, weight_squared_error',
  );
});

test('budgets as they are written', () => {
  for (const [text, bytes] of [
    ['4.25bpw', 425],
    ['300MB', 3e8],
    ['2 MiB', 2 ** 21],
    ['1.5kB', 1500],
    ['1234', 1234],
    ['12B', 12],
    ['3GiB', 3 * 2 ** 30],
  ] as const)
    assert.equal(budgetBytes(text, 800), bytes, text);
  for (const text of ['', 'much', '4,25bpw', '-3bpw', '4 bits', '1e9', '3MBps']) assert.equal(budgetBytes(text, 800), null, text);
});
