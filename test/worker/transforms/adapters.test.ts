// Corrections kept as an adapter: its sum is what the run computes, the files are PEFT's, and broken assumptions are told.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { SpreadStatistics } from '../../../worker/src/calibration/spread-statistics.js';
import { adapterOf } from '../../../worker/src/jobs/adapt-layer.js';
import { measurePerplexity } from '../../../worker/src/evaluate/perplexity.js';
import { withAdapter } from '../../../worker/src/checkpoint/adapter-folder.js';
import { cast } from '../../../worker/src/tensor/operations/storage.js';
import type { Tensor } from '../../../worker/src/tensor/tensor.js';
import { correctedRun, manyRows, told } from '../../support/corrected-run.js';
import { describedModel, forwardPass } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { inTemporaryFolder, readTensors } from '../../support/worker-run.js';

const rtn = (bits: number): string =>
  `QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: ${bits}, type: int, strategy: channel}}}}`;
const quiet = { onProgress: () => undefined, onProblem: () => undefined, throwIfCancelled: () => undefined };
const rows = manyRows.slice(0, 2).map((row) => Int32Array.from(row));

test('a residual of full rank gives the logits of the model before; the checkpoint alone does not', () =>
  inTemporaryFolder(async (dir) => {
    const { ended, report } = await correctedRun(dir, { modifiers: `${rtn(3)}\nLowRankResidualModifier: {rank: 64, weighting: none}` });
    assert.equal(ended.outcome, 'completed', ended.failure?.message);
    assert.deepEqual(told(report), []);
    await withDevice(async (device) => {
      const bare = await describedModel(path.join(dir, 'out'));
      const logits = async (model: typeof bare): Promise<Float32Array> => (await forwardPass(device, model, rows)).logits;
      const [before, adapted, alone] = [
        await logits(await describedModel(path.join(dir, 'model'))),
        await logits(await withAdapter(bare)),
        await logits(bare),
      ];
      const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const moved = (after: Float32Array): number =>
        before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i]!)), 0) / largest;
      assert.ok(moved(adapted) < 1e-4, `with the adapter logits move by ${moved(adapted)}`);
      assert.ok(moved(alone) > 0.01, `without it they move by ${moved(alone)}`);
    });
  }));

test('the files are those of a LoRA adapter of peft, with one rank and scaling 1', () =>
  inTemporaryFolder(async (dir) => {
    const modifiers = `${rtn(3)}\nLowRankResidualModifier: {rank: 4, targets: ['re:.*mlp.*']}\nOutlierSplitModifier: {threshold: 0.05, max_columns: 3}`;
    const { ended, report } = await correctedRun(dir, { modifiers });
    assert.equal(ended.outcome, 'completed', ended.failure?.message);
    const config = JSON.parse(readFileSync(path.join(dir, 'out', 'adapter', 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    assert.deepEqual([config['peft_type'], config['r'], config['lora_alpha'], config['bias']], ['LORA', 7, 7, 'none']);
    const modules = config['target_modules'] as string[];
    assert.equal(modules.length, 14);
    const tensors = await readTensors(path.join(dir, 'out', 'adapter', 'adapter_model.safetensors'));
    assert.equal(tensors.size, 28);
    assert.deepEqual(tensors.get('base_model.model.model.layers.0.mlp.up_proj.lora_A.weight')?.shape, [7, 64]);
    assert.deepEqual(tensors.get('base_model.model.model.layers.0.mlp.up_proj.lora_B.weight')?.shape, [176, 7]);
    const base = await readTensors(path.join(dir, 'out', 'model.safetensors'));
    assert.ok(![...base.keys()].some((name) => name.includes('lora')));
    for (const { name, low_rank, outlier_columns } of report?.layers ?? []) {
      assert.equal(low_rank === undefined, !name.includes('.mlp.'), name);
      if (low_rank) assert.ok(low_rank.error_after < low_rank.error_before, name);
      assert.ok(outlier_columns && outlier_columns.length <= 3, name);
    }
    assert.ok(told(report).some((text) => text.startsWith('outlier-columns-left')));
  }));

test('a folder with an adapter is measured with it as the run measured it; what another adapter means is refused', () =>
  inTemporaryFolder(async (dir) => {
    const text = path.join(dir, 'text.jsonl');
    writeFileSync(text, manyRows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
    const { plan, report } = await correctedRun(dir, {
      modifiers: `${rtn(3)}\nLowRankResidualModifier: {rank: 4}\nOutlierSplitModifier: {threshold: 0.05, max_columns: 3}`,
      evaluate: { dataset: text },
    });
    assert.equal(report?.size.weights_bytes_after, plan.estimate.weights_bytes_after);
    const out = path.join(dir, 'out');
    const bare = await describedModel(out);
    const whole = await withAdapter(bare);
    assert.equal(whole.tensors.length, bare.tensors.length + 28);
    await withDevice(async (device) => {
      const perplexity = (model: typeof bare) => measurePerplexity(model, plan.evaluate!.perplexity!, [device], quiet);
      assert.equal((await perplexity(whole)).perplexity, report?.quality?.after?.perplexity);
      assert.equal((await perplexity(bare)).perplexity, report?.quality?.without_adapter?.perplexity);
    });
    const settings = path.join(out, 'adapter', 'adapter_config.json');
    const written = JSON.parse(readFileSync(settings, 'utf8')) as Record<string, unknown>;
    for (const [changes, says] of [
      [{ lora_alpha: 16 }, /lora_alpha is 16 and r 7/],
      [{ peft_type: 'IA3' }, /peft_type is "IA3" and not LORA/],
      [{ use_dora: true }, /use_dora is true/],
    ] as const) {
      writeFileSync(settings, JSON.stringify({ ...written, ...changes }));
      await assert.rejects(withAdapter(bare), says);
    }
    rmSync(path.join(out, 'adapter'), { recursive: true });
    assert.equal(await withAdapter(bare), bare);
  }));

test('more rank leaves less error, and the numbers are of the outputs', () =>
  inTemporaryFolder(async (dir) => {
    const errors: number[] = [];
    for (const rank of [1, 8, 32]) {
      const { report } = await correctedRun(path.join(dir, String(rank)), {
        modifiers: `${rtn(3)}\nLowRankResidualModifier: {rank: ${rank}}`,
      });
      const first = report?.layers.find(({ name }) => name === 'model.layers.0.self_attn.q_proj');
      errors.push(first!.low_rank!.error_after / first!.low_rank!.error_before);
    }
    assert.ok(errors[0]! < 1 && errors[1]! < errors[0]! && errors[2]! < 0.5 * errors[1]!, errors.join(' '));
  }));

test('zeros, one token, and the same bytes at any thread count', () =>
  inTemporaryFolder(async (dir) => {
    const modifiers = `${rtn(4)}\nLowRankResidualModifier: {rank: 4}\nOutlierSplitModifier: {threshold: 0.01, max_columns: 2}`;
    const bytes: Buffer[] = [];
    for (const threads of [1, 3]) {
      const at = path.join(dir, String(threads));
      const { ended } = await correctedRun(at, {
        modifiers,
        threads,
        rows: [[5]],
        change: (tensor, i) =>
          tensor === 'model.layers.1.mlp.up_proj.weight' || (tensor === 'model.layers.0.self_attn.q_proj.weight' && i < 64) ? 0 : undefined,
      });
      assert.equal(ended.outcome, 'completed', ended.failure?.message);
      bytes.push(readFileSync(path.join(at, 'out', 'adapter', 'adapter_model.safetensors')));
    }
    assert.ok(bytes[0]!.equals(bytes[1]!));
  }));

for (const dtype of ['F32', 'BF16', 'F16'] as const)
  test(`weights in ${dtype}: the adapter has what quantization took from the outlier columns, and the residual nothing of them`, () =>
    withDevice(async (device) => {
      const layer = { name: 'a', rows: 2, columns: 3 } as LayerPlan;
      const of = (...values: number[]): Tensor => {
        using wide = device.fromFloats([2, 3], Float32Array.from(values));
        return cast(wide, dtype);
      };
      using w = of(1, 2, 3, 4, 5, 6);
      using what = of(1, 1.5, 4, 4, 5.5, 4);
      const statistics = { inputLargest: () => Promise.resolve(Float32Array.of(1, 1, 9)) } as unknown as SpreadStatistics;
      const base = { modifier: 'M', recipe_path: [], layers: ['a'] };
      const outliers = { name: 'outlier-split' as const, ...base, threshold: 6, max_columns: 1 };
      const residual = { name: 'low-rank-residual' as const, ...base, rank: 1, weighting: 'none' as const };
      for (const [plans, expected] of [
        [[outliers], [0, 0, -1, 0, 0, 2]],
        [
          [outliers, residual],
          [0, 0.5, -1, 0, -0.5, 2],
        ],
      ] as const) {
        const { tensors, problems } = await adapterOf(plans, layer, w, what, null, statistics);
        assert.deepEqual(problems, []);
        const [A = [], B = []] = await Promise.all(tensors.map(({ tensor }) => tensor.readFloats()));
        assert.deepEqual(
          tensors.map(({ tensor }) => tensor.dtype),
          [dtype, dtype],
        );
        for (const { tensor } of tensors) tensor.dispose();
        const rank = plans.length;
        const product = [0, 1].flatMap((row) =>
          [0, 1, 2].map((column) =>
            Array.from({ length: rank }, (_, r) => B[row * rank + r]! * A[r * 3 + column]!).reduce((a, b) => a + b),
          ),
        );
        product.forEach((value, i) => assert.ok(Math.abs(value - expected[i]!) < 0.01, `${plans.length} of it: ${product.join(' ')}`));
      }
    }));

test('a layer that no row reached is told', () =>
  withDevice(async (device) => {
    const layer = { name: 'a', rows: 2, columns: 2 } as LayerPlan;
    using w = device.fromFloats([2, 2], Float32Array.of(1, 2, 3, 4));
    const base = { modifier: 'M', recipe_path: [], layers: ['a'] };
    const plans = [
      { name: 'low-rank-residual' as const, ...base, rank: 1, weighting: 'hessian' as const },
      { name: 'outlier-split' as const, ...base, threshold: 6, max_columns: 1 },
    ];
    const { tensors, problems } = await adapterOf(plans, layer, w, w, null, null);
    for (const { tensor } of tensors) tensor.dispose();
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['outlier-split-without-inputs', 'low-rank-without-inputs'],
    );
  }));
