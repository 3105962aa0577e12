// Bias and variance corrections: what they keep is kept in the written file, biases are where runtimes look for them, and broken assumptions are told.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { SpreadStatistics } from '../../../worker/src/calibration/spread-statistics.js';
import { LoadedWeights } from '../../../worker/src/checkpoint/loaded-weights.js';
import { correctedBias as correctLayerBias, correctedScale } from '../../../worker/src/jobs/correct-layer.js';
import { correctedBias } from '../../../worker/src/transforms/bias-correction.js';
import { cast } from '../../../worker/src/tensor/operations/storage.js';
import { varianceKept } from '../../../worker/src/transforms/variance-correction.js';
import { correctedRun, inputsOf, manyRows, outputsOf, told, type CorrectedWish } from '../../support/corrected-run.js';
import { llamaRoles } from '../../support/llama-roles.js';
import { withDevice } from '../../support/native-device.js';
import { seededRandom } from '../../../worker/src/random-numbers.js';
import { inTemporaryFolder, readTensors } from '../../support/worker-run.js';

const int = (bits: number, strategy = 'channel', more = ''): string =>
  `{ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: ${bits}, type: int, strategy: ${strategy}${more}}}}}`;
const rtn = (bits: number): string => `QuantizationModifier: ${int(bits)}`;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

for (const dtype of ['F32', 'BF16', 'F16'] as const)
  test(`the corrected bias is that of a sum in double, the old one in ${dtype}`, () =>
    withDevice(async (device) => {
      const random = seededRandom(3);
      const [m, n] = [37, 65];
      const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random() - 0.4);
      const [W, What, old] = [floats(m * n), floats(m * n), floats(m)];
      const means = { input: Float64Array.from(floats(n)), quantized: Float64Array.from(floats(n)) };
      using w = device.fromFloats([m, n], W);
      using what = device.fromFloats([m, n], What);
      using wide = device.fromFloats([m], old);
      using bias = cast(wide, dtype);
      const rounded = await bias.readFloats();
      const { bias: corrected, rms, largest } = await correctedBias(w, what, means, bias);
      const values = await corrected.readFloats();
      corrected.dispose();
      const shifts = Array.from({ length: m }, (_, o) =>
        sum(Array.from({ length: n }, (_, i) => W[o * n + i]! * means.input[i]! - What[o * n + i]! * means.quantized[i]!)),
      );
      rounded.forEach((value, o) =>
        assert.ok(Math.abs(value - old[o]!) <= Math.abs(old[o]!) / 256, `${o}: ${value}, before its rounding ${old[o]}`),
      );
      shifts.forEach((shift, o) => assert.ok(Math.abs(values[o]! - (rounded[o]! + shift)) < 1e-6, `${o}: ${values[o]}`));
      assert.ok(Math.abs(rms - Math.sqrt(sum(shifts.map((shift) => shift * shift)) / m)) < 1e-9);
      assert.ok(Math.abs(largest - Math.max(...shifts.map(Math.abs))) < 1e-9);
    }));

for (const quantizer of [rtn(3), `GPTQModifier: ${int(3)}`, `HQQModifier: ${int(3)}`])
  test(`the mean of every output of the first block is the original's: ${quantizer.split(':')[0]}`, () =>
    inTemporaryFolder(async (dir) => {
      const { report, ended } = await correctedRun(dir, { modifiers: `${quantizer}\nBiasCorrectionModifier: {}` });
      assert.equal(ended.outcome, 'completed', ended.failure?.message);
      assert.deepEqual(told(report), []);
      await withDevice(async (device) => {
        for (const role of ['self_attn.q_proj', 'self_attn.o_proj', 'mlp.down_proj']) {
          const module = `model.layers.0.${role}`;
          const x = await inputsOf(device, path.join(dir, 'model'), module, manyRows);
          const columns = x.length / sum(manyRows.map((row) => row.length));
          const [before, after] = [
            await outputsOf(device, path.join(dir, 'model'), module, x, columns),
            await outputsOf(device, path.join(dir, 'out'), module, x, columns),
          ];
          const mean = (outputs: number[][], row: number): number => sum(outputs.map((output) => output[row]!)) / outputs.length;
          const largest = Math.max(...before.flat().map(Math.abs));
          for (let row = 0; row < before[0]!.length; row += 1) {
            const moved = Math.abs(mean(after, row) - mean(before, row));
            assert.ok(moved < 1e-5 * largest, `${module}, channel ${row}: ${moved} of ${largest}`);
          }
        }
      });
      const layers = report?.layers ?? [];
      assert.equal(layers.length, 14);
      assert.ok(layers.every(({ bias_shift }) => bias_shift && bias_shift.rms > 0 && bias_shift.largest >= bias_shift.rms));
    }));

test('inputs quantized at run time: the means are those of the quantized inputs', () =>
  inTemporaryFolder(async (dir) => {
    // One token: its output is the original's whatever the inputs are rounded to.
    const scheme = int(8).replace(
      '}}}}',
      '}, input_activations: {num_bits: 2, type: int, strategy: token, dynamic: true, symmetric: true}}}}',
    );
    const { ended, report } = await correctedRun(dir, {
      modifiers: `QuantizationModifier: ${scheme}\nBiasCorrectionModifier: {}`,
      rows: [[5]],
    });
    assert.equal(ended.outcome, 'completed', ended.failure?.message);
    assert.equal(told(report).filter((text) => text.startsWith('bias-correction-few-tokens')).length, 14);
    await withDevice(async (device) => {
      const at = (folder: string): Promise<Float32Array> =>
        inputsOf(device, path.join(dir, folder), 'model.layers.1.self_attn.q_proj', [[5]]);
      const [before, after] = [await at('model'), await at('out')];
      const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      assert.ok(
        before.every((value, i) => Math.abs(value - after[i]!) < 0.02 * largest),
        'the first block hands on what it did',
      );
    });
  }));

test('the model of Llama gets all biases of a switch and says so in config.json', () =>
  inTemporaryFolder(async (dir) => {
    const { ended } = await correctedRun(dir, {
      modifiers: `${rtn(4)}\nBiasCorrectionModifier: {targets: ['re:.*q_proj$', 're:.*\\.0\\.mlp\\.up_proj$']}`,
    });
    assert.equal(ended.outcome, 'completed', ended.failure?.message);
    const config = JSON.parse(readFileSync(path.join(dir, 'out', 'config.json'), 'utf8')) as Record<string, unknown>;
    assert.deepEqual([config['attention_bias'], config['mlp_bias']], [true, true]);
    const tensors = await readTensors(path.join(dir, 'out', 'model.safetensors'));
    for (const block of [0, 1])
      for (const role of llamaRoles) {
        const bias = tensors.get(`model.layers.${block}.${role}.bias`);
        assert.ok(bias, `${block} ${role}`);
        const isCorrected = role.endsWith('q_proj') || (role.endsWith('up_proj') && block === 0);
        assert.equal(
          bias.bytes.some((byte) => byte !== 0),
          isCorrected,
          `${block} ${role}`,
        );
      }
    assert.equal(tensors.has('lm_head.bias'), false);
  }));

test('γ keeps the norm of every row, or the power of its output, as sums in double say', () =>
  withDevice(async (device) => {
    const random = seededRandom(9);
    const [m, n, groups] = [5, 8, 2];
    const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random() - 0.4);
    const [W, scales] = [floats(m * n), floats(m * groups)];
    // A row of zeros has no variance.
    const What = floats(m * n).map((value, i) => (i < n ? 0 : value));
    const X = floats(20 * n);
    const H = Float32Array.from({ length: n * n }, (_, k) =>
      sum(Array.from({ length: 20 }, (_, t) => X[t * n + Math.floor(k / n)]! * X[t * n + (k % n)]!)),
    );
    using w = device.fromFloats([m, n], W);
    using what = device.fromFloats([m, n], What);
    using scale = device.fromFloats([m, groups], scales);
    using hessian = device.fromFloats([n, n], H);
    for (const weighting of [null, hessian]) {
      const kept = await varianceKept(w, what, scale, weighting);
      const values = await kept.scale.readFloats();
      kept.scale.dispose();
      const power = (matrix: Float32Array, row: number): number => {
        const w = [...matrix.subarray(row * n, (row + 1) * n)];
        if (weighting === null) return sum(w.map((value) => value * value));
        return sum(Array.from({ length: 20 }, (_, t) => sum(w.map((value, i) => value * X[t * n + i]!)) ** 2));
      };
      const gains = Array.from({ length: m }, (_, row) => (row === 0 ? 1 : Math.sqrt(power(W, row) / power(What, row))));
      values.forEach((value, i) => {
        const expected = scales[i]! * gains[Math.floor(i / groups)]!;
        assert.ok(Math.abs(value - expected) < 2e-6 * Math.abs(expected), `${i}: ${value} and ${expected}`);
      });
      assert.equal(kept.n_kept, 1);
      assert.ok(Math.abs(kept.min - Math.min(...gains)) < 1e-5 && Math.abs(kept.max - Math.max(...gains)) < 1e-5);
    }
  }));

const gainsOf = async (dir: string, wish: CorrectedWish): Promise<{ name: string; min: number; max: number }[]> => {
  const { report, ended } = await correctedRun(dir, wish);
  assert.equal(ended.outcome, 'completed', ended.failure?.message);
  return (report?.layers ?? []).map(({ name, variance_gain }) => ({ name, min: variance_gain?.min ?? 0, max: variance_gain?.max ?? 0 }));
};

test('a run: the rows of the file have the norm of the originals', () =>
  inTemporaryFolder(async (dir) => {
    const gains = await gainsOf(dir, { modifiers: `${rtn(3)}\nVarianceCorrectionModifier: {ignore: ['re:.*down_proj$']}` });
    for (const { name, min, max } of gains)
      if (name.endsWith('down_proj')) assert.deepEqual([min, max], [0, 0], name);
      else assert.ok(min > 0.7 && max < 1.4 && min < max, `${name}: ${min} to ${max}`);
    await withDevice(async (device) => {
      const identity = Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 65 === 0 ? 1 : 0));
      const norms = async (folder: string): Promise<number[]> => {
        const columns = await outputsOf(device, path.join(dir, folder), 'model.layers.1.mlp.up_proj', identity, 64);
        return columns[0]!.map((_, row) => Math.sqrt(sum(columns.map((column) => column[row]! ** 2))));
      };
      const [before, after] = [await norms('model'), await norms('out')];
      before.forEach((norm, row) => assert.ok(Math.abs(norm - after[row]!) < 1e-5 * norm, `row ${row}: ${norm} and ${after[row]}`));
    });
  }));

test('an all-zero row keeps its scale, and an input that is always zero leaves the outputs without variance', () =>
  inTemporaryFolder(async (dir) => {
    const wish = { modifiers: `${rtn(4)}\nVarianceCorrectionModifier: {statistic: outputs}` };
    const { report } = await correctedRun(dir, {
      ...wish,
      change: (tensor, i) =>
        (tensor === 'model.layers.0.self_attn.q_proj.weight' && i < 64) || tensor === 'model.layers.1.post_attention_layernorm.weight'
          ? 0
          : undefined,
    });
    assert.deepEqual(told(report), [
      'variance-rows-zero model.layers.0.self_attn.q_proj',
      'variance-rows-zero model.layers.1.mlp.gate_proj',
      'variance-rows-zero model.layers.1.mlp.up_proj',
      'variance-rows-zero model.layers.1.mlp.down_proj',
    ]);
    assert.match(report?.problems[0]?.message ?? '', /^1 of 64 channels/);
  }));

test('a constant channel, a dead one and both corrections: all ends well', () =>
  inTemporaryFolder(async (dir) => {
    const { ended, report } = await correctedRun(dir, {
      modifiers: `${rtn(2)}\nBiasCorrectionModifier: {}\nVarianceCorrectionModifier: {}`,
      change: (tensor, i) => (tensor === 'model.layers.0.mlp.up_proj.weight' && i >= 64 && i < 128 ? 0.05 : undefined),
    });
    assert.equal(ended.outcome, 'completed', ended.failure?.message);
    assert.ok(report?.layers.every(({ bias_shift, variance_gain }) => bias_shift && variance_gain));
  }));

test('inputs that are not finite end the run with the layer', () =>
  inTemporaryFolder(async (dir) => {
    const { ended } = await correctedRun(dir, {
      modifiers: `${rtn(4)}\nBiasCorrectionModifier: {}`,
      change: (tensor, i) => (tensor === 'model.layers.0.input_layernorm.weight' && i === 3 ? 3e38 : undefined),
    });
    assert.equal(ended.outcome, 'failed');
    assert.match(ended.failure?.message ?? '', /model\.layers\.0\.self_attn/);
  }));

test('the same bytes on one device and on two, but for the last bits of a mean', () =>
  inTemporaryFolder(async (dir) => {
    const modifiers = `${rtn(4)}\nBiasCorrectionModifier: {}\nVarianceCorrectionModifier: {}`;
    const biasesOf = async (devices: number): Promise<Map<string, Float32Array>> => {
      const at = path.join(dir, String(devices));
      const { ended } = await correctedRun(at, { modifiers, devices });
      assert.equal(ended.outcome, 'completed', ended.failure?.message);
      const tensors = await readTensors(path.join(at, 'out', 'model.safetensors'));
      const biases = [...tensors].filter(([name]) => name.endsWith('.bias'));
      return new Map(biases.map(([name, { bytes }]) => [name, new Float32Array(Uint8Array.from(bytes).buffer)]));
    };
    const [one, two] = [await biasesOf(1), await biasesOf(2)];
    assert.equal(one.size, 14);
    for (const [name, values] of one)
      values.forEach((value, i) =>
        assert.ok(Math.abs(value - two.get(name)![i]!) <= 1e-6 * Math.max(1e-3, Math.abs(value)), `${name}[${i}]`),
      );
  }));

test('a layer that no row reached is left as it is, and told', () =>
  withDevice(async (device) => {
    const layer = { name: 'model.layers.0.mlp.up_proj', rows: 2, columns: 2 } as LayerPlan;
    const base = { modifier: 'M', recipe_path: ['a', 'b'], layers: [layer.name] };
    using w = device.fromFloats([2, 2], Float32Array.of(1, 2, 3, 4));
    const dequantized = (): never => assert.fail('nothing is to be computed');
    const scale = await correctedScale([{ name: 'variance-correction', ...base, statistic: 'outputs' }], layer, w, dequantized, w, null);
    assert.equal(scale.scale, null);
    const plan = { name: 'bias-correction' as const, ...base, added: [], switches: [] };
    const bias = await correctLayerBias([plan], layer, w, w, new LoadedWeights(), null);
    assert.deepEqual(bias.tensors, []);
    assert.deepEqual(
      [...scale.problems, ...bias.problems].map(({ code, severity, layer: at, recipe_path }) => ({ code, severity, at, recipe_path })),
      ['variance-without-inputs', 'bias-correction-without-inputs'].map((code) => ({
        code,
        severity: 'warning',
        at: layer.name,
        recipe_path: ['a', 'b'],
      })),
    );
  }));

for (const dtype of ['BF16', 'F16'] as const)
  test(`a corrected bias that does not fit ${dtype} ends the run with its channel`, () =>
    withDevice(async (device) => {
      const layer = { name: 'model.layers.0.mlp.up_proj', rows: 3, columns: 1 } as LayerPlan;
      const largest = dtype === 'F16' ? 65504 : 3.38e38;
      using w = device.fromFloats([3, 1], Float32Array.of(0, 0, largest));
      using what = device.fromFloats([3, 1], new Float32Array(3));
      using old = device.fromFloats([3], Float32Array.of(1, 1, largest));
      using weights = new LoadedWeights();
      weights.add(`${layer.name}.bias`, cast(old, dtype));
      const means = { input: Float64Array.of(1), quantized: Float64Array.of(1), n_tokens: 1000 };
      const statistics = { inputMeans: () => Promise.resolve(means) } as unknown as SpreadStatistics;
      const plan = { name: 'bias-correction' as const, modifier: 'M', recipe_path: [], layers: [layer.name], added: [], switches: [] };
      await assert.rejects(
        correctLayerBias([plan], layer, w, what, weights, statistics),
        new RegExp(`its corrected bias of channel 2 does not fit ${dtype}`),
      );
    }));
