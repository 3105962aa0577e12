// The estimate of what a run takes of a CUDA device: with that much it gives nothing up, with less it says before it begins that it may have to.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { writeDataset } from '../../support/dataset-file.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

/** What the device has for cuBLAS. */
const workspaceBytes = 32 << 20;

const gptq = 'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}';

async function planIn(dir: string): Promise<QuantizationPlan> {
  const model = path.join(dir, 'model');
  writeTinyLlama(model, 'random', { hidden: 128, mlp: 256 });
  const dataset = path.join(dir, 'rows.jsonl');
  writeDataset(
    dataset,
    Array.from({ length: 2 }, (_, row) => ({ input_ids: Array.from({ length: 150 }, (__, i) => (row * 31 + i * i * 7 + i) % 96) })),
  );
  return resolvePlan({
    recipe: `quant_stage: {quant_modifiers: {${gptq}}}`,
    model,
    output: path.join(dir, 'out'),
    calibration: { dataset, num_calibration_samples: 2, max_seq_length: 150 },
    evaluate: { dataset, num_samples: 1, max_seq_length: 150 },
  });
}

const runWith = (plan: QuantizationPlan, bytes: number) =>
  runToCompletion(
    { ...plan, max_device_memory_bytes: bytes, output: { ...plan.output, dir: `${plan.output.dir}-${bytes}` } },
    { kind: 'cuda', threads: 1 },
  );

test('what a run is estimated to take of a CUDA device is enough, and not much more than it took; below it is told before the first block', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir);
    const { peak_memory_bytes: estimated } = plan.estimate.cuda;
    const { report } = await runWith(plan, estimated);
    assert.deepEqual(report.problems, []);
    const peak = report.memory.devices?.[0]?.peak_bytes ?? NaN;
    assert.equal(report.memory.estimated_peak_bytes, estimated);
    const ratio = (estimated - workspaceBytes) / (peak - workspaceBytes);
    // Tensors below 32 MiB are taken for twice as large, and hidden states fill what is left.
    assert.ok(ratio >= 1 && ratio < 3, `estimated ${estimated - workspaceBytes} bytes beside cuBLAS, measured ${peak - workspaceBytes}`);
    const { report: short } = await runWith(plan, Math.floor(workspaceBytes + (estimated - workspaceBytes) / 3));
    assert.match(
      short.problems[0]?.message ?? '',
      /^Device memory is short: \w.* needs about \d\S+ MB, and 3\S+ MB can be used\. Where it runs out, less is there at a time/,
    );
  }));
