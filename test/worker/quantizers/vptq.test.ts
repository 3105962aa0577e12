// Whole runs of VPTQModifier: what is stored is what was estimated and what is read again, whatever codebooks, groups and outliers; and layers without inputs.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { loadVptq } from '../../../worker/src/checkpoint/formats/vptq.js';
import { openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { vptq } from '../../../worker/src/quantizers/vptq.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import type { QuantizerInput } from '../../../worker/src/quantizers/quantizer.js';
import type { VptqPlan } from '../../../schemas/src/generated/plan.js';
import { vptqScheme } from '../../../schemas/src/model/vptq-config.js';
import { withDevice } from '../../support/native-device.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const tokens = Array.from({ length: 24 }, (_, row) => ({
  input_ids: Array.from({ length: 40 }, (__, i) => (row * 17 + i * i * 7) % tinyLlama.vocabulary),
}));

for (const [fields, text, least] of [
  ['vector_len: 2, num_centroids: 16', 'vptq v2 k16', 5],
  ['vector_len: 4, num_centroids: 256, num_res_centroids: 16, enable_norm: false, enable_perm: false', 'vptq v4 k256+16', 6],
  ['vector_len: 6, num_centroids: 16, group_num: 2, outlier_size: 4, outlier_num_centroids: 16', 'vptq v6 k16 g2, 4 outliers', 1],
] as const)
  test(`a run with ${fields} stores what its plan estimated and reads it back`, () =>
    inTemporaryFolder(async (dir) => {
      const model = path.join(dir, 'model');
      writeTinyLlama(model, 'random');
      const rows = path.join(dir, 'rows.jsonl');
      writeFileSync(rows, tokens.map((row) => `${JSON.stringify(row)}\n`).join(''));
      const output = path.join(dir, 'out');
      const recipe = `q_stage:\n  q_modifiers:\n    VPTQModifier: {ignore: [lm_head], ${fields}}\n`;
      const plan = await resolvePlan({ recipe, model, output, calibration: { dataset: rows, num_calibration_samples: tokens.length } });
      const { report } = await runToCompletion(plan);
      // Random weights in less than a bit each are lost, and the run says so.
      assert.deepEqual(
        report.problems.filter(({ code }) => code !== 'quality-collapsed'),
        [],
      );
      assert.equal(report.layers.length, 7 * tinyLlama.blocks);
      const stored = report.layers.reduce((sum, { bytes_after }) => sum + bytes_after, 0);
      const weights = report.layers.reduce((sum, { rows: m, columns }) => sum + m * columns, 0);
      assert.ok(
        Math.abs((stored * 8) / weights - plan.estimate.bits_per_weight) < 1e-9,
        `${(stored * 8) / weights} for ${plan.estimate.bits_per_weight}`,
      );
      for (const layer of report.layers) {
        assert.equal(layer.scheme, text);
        assert.ok((layer.weight_sqnr_db ?? 0) > least, `${layer.name} ${layer.weight_sqnr_db}`);
        assert.equal(layer.dampening_frac, 0.01);
      }
      const config = JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8')) as { quantization_config: Record<string, unknown> };
      assert.deepEqual(config.quantization_config['modules_to_not_convert'], ['lm_head']);
      const { model: written, problems } = await describeModel(output, nodeFiles);
      assert.deepEqual(problems, []);
      assert.equal(Object.keys(written?.quantization?.layers ?? {}).length, 7 * tinyLlama.blocks);
      await withDevice(async (device) => {
        const placed = (written?.tensors ?? []).map((tensor) => ({ tensor, file: path.join(output, tensor.file) }));
        const reader = openTensorReader(device, placed);
        const name = 'model.layers.1.mlp.down_proj';
        using weight = await loadVptq(reader, name, written!.quantization!.layers[name]!);
        assert.deepEqual(weight.shape, [tinyLlama.hidden, tinyLlama.mlp]);
        const source = await describeModel(model, nodeFiles);
        const before = openTensorReader(
          device,
          (source.model?.tensors ?? []).map((tensor) => ({ tensor, file: path.join(model, tensor.file) })),
        );
        using original = before.load(`${name}.weight`);
        const [a, b] = [await floats(original), await floats(weight)];
        const [signal, noise] = a.reduce(([s, n], value, i) => [s + value ** 2, n + (value - b[i]!) ** 2], [0, 0]);
        const sqnr = report.layers.find((layer) => layer.name === name)?.weight_sqnr_db ?? NaN;
        assert.ok(Math.abs(10 * Math.log10(signal / noise) - sqnr) < 1e-3, 'what is read is what was measured');
      });
    }));

async function floats(tensor: { dtype: string; read(): Promise<Uint8Array> }): Promise<number[]> {
  const bytes = await tensor.read();
  if (tensor.dtype === 'F32') return [...new Float32Array(bytes.slice().buffer)];
  const word = new DataView(new ArrayBuffer(4));
  return [...new Uint16Array(bytes.slice().buffer)].map((bits) => {
    word.setUint32(0, bits << 16);
    return word.getFloat32(0);
  });
}

const plan: VptqPlan = {
  name: 'vptq',
  modifier: 'VPTQModifier',
  recipe_path: ['q_stage', 'q_modifiers', 'VPTQModifier'],
  enable_perm: true,
  kiter: 20,
  ktol: 0,
  kseed: 0,
  block_size: 128,
  dampening_frac: 0.01,
};
const vectors = {
  vector_len: 2,
  num_centroids: 16,
  num_res_centroids: 0,
  group_num: 2,
  outlier_size: 2,
  outlier_vector_len: 4,
  outlier_num_centroids: 16,
  enable_norm: true,
  enable_perm: true,
};

for (const [what, entry, codes, part] of [
  ['no row', null, ['solver-without-inputs'], /no calibration row reached it/],
  ['zeros alone', () => 0, ['solver-without-inputs'], /all of its calibration inputs are zero/],
  ['a dead column', (i: number, j: number) => (i === j && i !== 3 ? 2 : 0), ['solver-dead-columns'], /1 of 10 input columns/],
  ['one token', (i: number, j: number) => (i + 1) * (j + 1), [], null],
] as const)
  test(`inputs that are ${what}: the layer is quantized and the report says so`, () =>
    withDevice(async (device) => {
      const [rows, columns] = [8, 10];
      using weight = device.fromFloats(
        [rows, columns],
        Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * i)),
      );
      using hessian =
        entry &&
        new HessianFactors(
          device.fromFloats(
            [columns, columns],
            Float32Array.from({ length: columns ** 2 }, (_, i) => entry(Math.floor(i / columns), i % columns)),
          ),
        );
      const layer = { name: 'linear', rows, columns, scheme: vptqScheme(vectors), quantizer: plan } as unknown as QuantizerInput['layer'];
      const encoded = await vptq.encode({ layer, plan, weight, fused: [], hessian });
      using read = encoded.read;
      assert.deepEqual(
        encoded.problems.map(({ code }) => code),
        codes,
      );
      if (part) assert.match(encoded.problems[0]?.message ?? '', part);
      assert.ok((await read.readFloats()).every(Number.isFinite));
      assert.deepEqual(
        encoded.parts.map(({ suffix, tensor }) => `${suffix} ${tensor.dtype}`),
        [
          '.indices I32',
          '.centroids.weight F32',
          '.outlier_centroids.weight F32',
          '.outlier_indices I16',
          '.perm I16',
          '.weight_scale F32',
          '.weight_bias F32',
        ],
      );
      for (const { tensor } of encoded.parts) tensor.dispose();
    }));
