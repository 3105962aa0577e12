// The plan's estimate against what the process of a small run takes: none takes more than it was said to.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { runRequest, type RunResult } from '../../../schemas/src/protocol/client-worker.js';
import { writeDataset } from '../../support/dataset-file.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, readReport, resolvePlan, startWorker } from '../../support/worker-run.js';

const weights = 'config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: channel}}}';

for (const [what, modifiers, rows] of [
  ['RTN', `QuantizationModifier: {ignore: [lm_head], ${weights}}`, 0],
  ['GGUF', 'GGUFModifier: {type: Q8_0}', 0],
  ['GPTQ', `GPTQModifier: {ignore: [lm_head], ${weights}}`, 8],
] as const)
  test(`a small run with ${what} stays below its estimate`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const dataset = path.join(dir, 'rows.jsonl');
      if (rows > 0)
        writeDataset(
          dataset,
          Array.from({ length: rows }, (_, row) => ({ input_ids: Array.from({ length: 32 }, (_, i) => (row * 31 + i * 7) % 96) })),
        );
      const plan = await resolvePlan({
        recipe: `quant_stage: {quant_modifiers: {${modifiers}}}`,
        model: sharedPath('data', 'models', 'stories260K'),
        output: path.join(dir, 'out'),
        ...(rows > 0 ? { calibration: { dataset, num_calibration_samples: rows } } : {}),
      });
      const worker = await startWorker();
      try {
        await worker.connection.sendRequest<RunResult>(runRequest, { plan });
        const ended = await worker.waitFor(({ kind }) => kind === 'run-ended');
        assert.ok(ended.kind === 'run-ended' && ended.outcome === 'completed');
        const { estimated_peak_bytes, measured_peak_bytes } = readReport(`${plan.output.dir}.run`).memory;
        assert.ok(measured_peak_bytes <= estimated_peak_bytes, `${measured_peak_bytes} bytes, estimated ${estimated_peak_bytes}`);
      } finally {
        worker.child.stdin?.end();
        await worker.exited;
        worker.connection.dispose();
      }
    }),
  );
