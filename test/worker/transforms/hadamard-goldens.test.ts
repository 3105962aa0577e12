// Rotated weights against those of the real llm-compressor on stories260K (test/parity/rotation-goldens.py), and what its centered embeddings change.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { rotateModel, rotationOf } from '../../../worker/src/jobs/rotate-model.js';
import { MemoryGovernor } from '../../../worker/src/memory/memory-governor.js';
import { RunContext } from '../../../worker/src/run-context.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, readTensors, resolvePlan } from '../../support/worker-run.js';

interface Golden {
  logits_change: number;
  logits_change_as_shipped: number;
  rows: Record<string, [number[], number[]]>;
}

const goldens = JSON.parse(readFileSync(path.join(repositoryRoot, 'test/golden/rotations.json'), 'utf8')) as Record<string, Golden>;
const quantizer =
  'QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}}}}';

for (const [rotations, golden] of Object.entries(goldens))
  test(`${rotations}: first and last row of every matrix`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const recipe = `quant_stage:\n  quant_modifiers:\n    SpinQuantModifier: {rotations: [${rotations.split('+').join(', ')}]}\n    ${quantizer}\n`;
      const plan = await resolvePlan({ recipe, model: sharedPath('data/models/stories260K'), output: path.join(dir, 'out') });
      const rotation = rotationOf(plan);
      assert.ok(rotation);
      await withDevice(async (device) => {
        const facts = { kind: 'cpu' as const, name: 'test', threads: 2 };
        const context = new RunContext(plan, [device], facts, path.join(dir, 'run'), 'test', () => undefined, 'run-1');
        await rotateModel(context, rotation, new MemoryGovernor([device], () => undefined));
      });
      const tensors = await readTensors(path.join(dir, 'run', 'rotated', 'model.safetensors'));
      const names = Object.keys(golden.rows);
      assert.ok(names.length >= 37, `${names.length} matrices`);
      for (const [name, [first, last]] of Object.entries(golden.rows)) {
        const { bytes, shape } = tensors.get(name)!;
        const [rows = 0, columns = 0] = shape;
        for (const [row, expected] of [
          [0, first],
          [rows - 1, last],
        ] as const)
          expected.forEach((value, column) => {
            const actual = bytes.readFloatLE(4 * (row * columns + column));
            assert.ok(Math.abs(actual - value) < 2e-6 * Math.max(1, Math.abs(value)), `${name}[${row}, ${column}] ${actual} for ${value}`);
          });
      }
    }),
  );

test('the embeddings keep their means: subtracting them, as llm-compressor does, changes a logit by 6 % of the largest', () => {
  for (const { logits_change, logits_change_as_shipped } of Object.values(goldens)) {
    assert.ok(logits_change < 1e-5);
    assert.ok(logits_change_as_shipped > 0.05);
  }
});
