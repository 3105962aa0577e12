// The empirical Fisher information against torch's autograd, gradients against finite differences of the real forward pass, and what it predicts against what
// the whole model loses.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { asSensitivity } from '../../../schemas/src/validate.js';
import { analyze } from '../../../worker/src/analyze/analyze.js';
import { Fisher } from '../../../worker/src/analyze/fisher.js';
import { batchDocuments } from '../../../worker/src/calibration/token-batches.js';
import { loadWeights, type LoadedWeights } from '../../../worker/src/checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { nextTokens } from '../../../worker/src/evaluate/model-pass.js';
import { openDecoder } from '../../../worker/src/models/open-decoder.js';
import { crossEntropy, fakeQuantizeDynamic } from '../../../worker/src/tensor/operations/forward.js';
import { NoGradientError, Tape } from '../../../worker/src/tensor/tape.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { describedModel, logitsOf } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { planIn } from '../../support/recipe-fixture.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

interface Golden {
  rows: number[][];
  layers: Record<string, { trace: number; weighted: number }>;
}
/** test/parity/fisher-goldens.py. */
const goldens = JSON.parse(readFileSync(path.join(repositoryRoot, 'test', 'golden', 'fisher.json'), 'utf8')) as Record<string, Golden>;

/** What Fisher asks of the layers of a plan. */
function layersOf(model: ModelDescription, names: readonly string[]): LayerPlan[] {
  return names.map((name) => {
    const block = /\.layers\.(\d+)\./.exec(name)?.[1];
    return { name, tensor: `${name}.weight`, block: block === undefined ? null : Number(block) } as LayerPlan;
  });
}

const weightsOf = (device: Device, model: ModelDescription): Promise<LoadedWeights> =>
  loadWeights(
    openTensorReader(device, modelTensors(model)),
    () => true,
    () => null,
  );

/** Σ F and Σ F W² by predicted token, and F itself. */
function measured(dir: string, rows: readonly number[][], names: readonly string[], kind: 'cpu' | 'cuda' = 'cpu', batchTokens = 64) {
  return withDevice(
    (device) =>
      inTemporaryFolder(async (folder) => {
        const model = await describedModel(dir);
        const documents = rows.map((row) => Int32Array.from(row));
        using tokens = batchDocuments(documents, [device], { batchTokens });
        using decoder = openDecoder(model, device, tokens.longest, 'The test');
        const layers = layersOf(model, names);
        const fisher = await Fisher.measure({
          model,
          layers,
          tokens,
          decoder,
          device,
          dir: path.join(folder, 'fisher'),
          // No room: hidden states and gradients go through files.
          budget: { device: 0, host: 0 },
          onBatch: () => undefined,
        });
        assert.equal(fisher.reason, null);
        using weights = await weightsOf(device, model);
        const found: Record<string, { trace: number | null; weighted: number }> = {};
        for (const layer of layers) {
          const weight = weights.tensor(layer.tensor);
          using nothing = device.zeros(weight.dtype, weight.shape);
          found[layer.name] = {
            trace: await fisher.trace(layer, weight),
            weighted: 2 * ((await fisher.loss(layer, weight, nothing)) ?? NaN),
          };
        }
        return { found, without: fisher.without };
      }),
    2,
    kind,
  );
}

/** BF16 keeps 8 bits of each F, and rounds without a bias: 2^-9 for each, far less for sums; F32 gradients add the sums of their products. */
const bound = 2e-3;
const close = (actual: number | null, expected: number, what: string, within = bound): void =>
  assert.ok(actual !== null && Math.abs(actual - expected) <= within * Math.abs(expected), `${what}: ${actual}, not ${expected}`);

for (const [name, { rows, layers }] of Object.entries(goldens))
  test(`${name}: squared gradients are those of torch`, { skip: skipWithoutShared }, async () => {
    const dir = name === 'stories260K' ? sharedPath('data', 'models', name) : sharedPath('golden', 'architectures', name);
    const { found } = await measured(dir, rows, Object.keys(layers));
    for (const [layer, { trace, weighted }] of Object.entries(layers)) {
      close(found[layer]?.trace ?? null, trace, `${layer} trace`);
      close(found[layer]?.weighted ?? null, weighted, `${layer} Σ F W²`);
    }
  });

test('the (emulated) CUDA backend finds them too, and a layer may stand alone', { skip: skipWithoutShared }, async () => {
  const { rows, layers } = goldens.qwen3!;
  const names = Object.keys(layers).slice(-4);
  const { found } = await measured(sharedPath('golden', 'architectures', 'qwen3'), rows, names, 'cuda');
  for (const name of names) close(found[name]?.trace ?? null, layers[name]!.trace, name);
});

test('the weight of a tied head has no gradient of its own', { skip: skipWithoutShared }, async () => {
  const { rows } = goldens['qwen2-tied']!;
  const { found, without } = await measured(sharedPath('golden', 'architectures', 'qwen2-tied'), rows, ['model.embed_tokens']);
  assert.deepEqual(without, ['model.embed_tokens']);
  assert.equal(found['model.embed_tokens']?.trace, null);
});

test('the gradient of a weight is what the loss of the real forward pass changes by', { skip: skipWithoutShared }, () =>
  withDevice(async (device) => {
    const model = await describedModel(sharedPath('golden', 'architectures', 'qwen3'));
    const row = goldens.qwen3!.rows[0]!;
    using tokens = batchDocuments([Int32Array.from(row)], [device]);
    using decoder = openDecoder(model, device, tokens.longest, 'The test');
    using weights = await weightsOf(device, model);
    const batch = tokens.batches[0]!;
    using targets = device.fromInts([batch.nTokens], nextTokens(batch));
    const loss = async (): Promise<number> => {
      using logits = logitsOf(decoder, batch, weights);
      using losses = crossEntropy(logits, targets);
      return (await losses.readDoubles()).reduce((sum, value) => sum + value, 0);
    };
    for (const role of ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.down_proj']) {
      const name = `model.layers.0.${role}`;
      const layer = layersOf(model, [name])[0]!;
      await inTemporaryFolder(async (folder) => {
        const budget = { device: 1e9, host: 0 };
        const fisher = await Fisher.measure({
          model,
          layers: [layer],
          tokens,
          decoder,
          device,
          dir: folder,
          budget,
          onBatch: () => undefined,
        });
        const original = weights.tensor(layer.tensor);
        const values = await original.readFloats();
        const shape = [...original.shape];
        const put = (changed: Float32Array): void => weights.replace(layer.tensor, device.fromFloats(shape, changed));
        // F of one weight, from what the layer would lose if that weight alone moved by 1; the largest of some.
        const squares: number[] = [];
        const places = Array.from({ length: 12 }, (_, n) => (n * 577) % values.length);
        for (const place of places) {
          const moved = values.slice();
          moved[place]! += 1;
          using What = device.fromFloats(shape, moved);
          squares.push(2 * (row.length - 1) * ((await fisher.loss(layer, weights.tensor(layer.tensor), What)) ?? NaN));
        }
        const largest = Math.max(...squares);
        const place = places[squares.indexOf(largest)]!;
        const h = 5e-3;
        const shifted = async (by: number): Promise<number> => {
          const changed = values.slice();
          changed[place]! += by;
          put(changed);
          return loss();
        };
        // Five points: the next term is of the order h⁴.
        const slope = (8 * ((await shifted(h)) - (await shifted(-h))) - ((await shifted(2 * h)) - (await shifted(-2 * h)))) / (12 * h);
        put(values);
        // F32 sums of the loss err by about 1e-6, over 2 h; BF16 by 2^-10 of the root.
        const difference = Math.abs(Math.abs(slope) - Math.sqrt(largest));
        assert.ok(
          difference <= 0.005 * Math.sqrt(largest) + 5e-4,
          `${name}[${place}]: ${slope} by differences, ±${Math.sqrt(largest)} by gradients`,
        );
        assert.ok(Math.sqrt(largest) > 0.01, `${name}: a gradient of ${Math.sqrt(largest)} shows nothing`);
      });
    }
  }),
);

test('an operation that rounds has no gradient, and is named', () =>
  withDevice(async (device) => {
    using x = device.fromFloats([1, 4], Float32Array.of(1, 2, 3, 4));
    using tape = new Tape(device);
    using y = tape.record(() => fakeQuantizeDynamic(x, { num_bits: 8, symmetric: true, strategy: 'token' }));
    const dy = device.zeros('F32', [1, 4]);
    assert.throws(
      () => tape.backward(y, dy, x, () => undefined),
      (error) => error instanceof NoGradientError && error.operation === 'fake_quantize_dynamic',
    );
  }));

/** Of ranks, without ties. */
function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const ranks = (values: readonly number[]): number[] => values.map((value) => values.filter((other) => other < value).length);
  const [left, right] = [ranks(a), ranks(b)];
  const n = a.length;
  return 1 - (6 * left.reduce((sum, rank, at) => sum + (rank - right[at]!) ** 2, 0)) / (n * (n * n - 1));
}

test('what it predicts for each layer of the example model goes with what the whole model loses', () =>
  inTemporaryFolder(async (dir) => {
    const example = (...parts: string[]): string => JSON.stringify(path.join(repositoryRoot, 'examples', ...parts));
    const plan = await planIn(
      dir,
      `
model: ${example('models', 'stories-and-sums-1m')}
output: {dir: out}
device: cpu
calibration: {dataset: ${example('data', 'calibration.jsonl')}, text_column: text, num_calibration_samples: 64, max_seq_length: 256}
evaluate: {kl_divergence: {dataset: ${example('data', 'validation.jsonl')}, num_samples: 16, max_seq_length: 128}}
q_stage:
  q_modifiers:
    GPTQModifier: {targets: [Linear], scheme: W4A16, ignore: [lm_head]}
`,
    );
    const watch = { onProgress: () => undefined, throwIfCancelled: () => undefined };
    const input = { plan, bits: [3, 4], keepWeights: false, kind: 'cpu', version: 'test', watch } as const;
    const first = await withDevice((device) => analyze({ ...input, device, endToEnd: true, fisher: false }));
    const read = () => {
      const checked = asSensitivity(JSON.parse(readFileSync(path.join(first.dir, 'sensitivity.json'), 'utf8')));
      assert.ok('analysis' in checked, 'error' in checked ? checked.error : '');
      return checked.analysis;
    };
    const before = read();
    assert.ok(
      before.not_measured.some((text) => /^fisher_loss and fisher_trace: not asked for \(on the command line: --fisher/.test(text)),
    );
    assert.ok(
      before.layers.every(({ fisher_trace, candidates }) => fisher_trace === undefined && candidates[0]?.fisher_loss === undefined),
    );
    await withDevice((device) => analyze({ ...input, device, endToEnd: true, fisher: true }));
    const { layers, not_measured } = read();
    assert.ok(!not_measured.some((text) => text.startsWith('fisher')));
    for (const [at, layer] of layers.entries()) {
      assert.ok((layer.fisher_trace ?? 0) > 0);
      // What was measured before stays.
      assert.deepEqual(
        layer.candidates.map(({ mean_kld }) => mean_kld),
        before.layers[at]?.candidates.map(({ mean_kld }) => mean_kld),
      );
    }
    for (const [at, bits] of [3, 4].entries()) {
      const predicted = layers.map(({ candidates }) => candidates[at]?.fisher_loss ?? NaN);
      const measuredLoss = layers.map(({ candidates }) => candidates[at]?.mean_kld ?? NaN);
      const output = layers.map(({ candidates }) => candidates[at]?.relative_output_error ?? NaN);
      const correlation = rankCorrelation(predicted, measuredLoss);
      const share = predicted.map((value, layer) => value / measuredLoss[layer]!).sort((a, b) => a - b);
      const said = `${bits} bits: ${correlation.toFixed(3)} (output error ${rankCorrelation(output, measuredLoss).toFixed(3)}); predicted over measured ${share[0]!.toFixed(2)} to ${share.at(-1)!.toFixed(2)}, median ${share[share.length >> 1]!.toFixed(2)}`;
      console.log(said);
      assert.ok(correlation > 0.8, said);
    }
  }));
