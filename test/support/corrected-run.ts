// Runs of a small model with modifiers of a test's choice, and what the linears of two folders put out on the same rows.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../schemas/src/model/safetensors-header.js';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { RunReport } from '../../schemas/src/generated/report.js';
import { loadWeights } from '../../worker/src/checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../../worker/src/checkpoint/tensor-reader.js';
import { linear } from '../../worker/src/tensor/operations/forward.js';
import type { Device } from '../../worker/src/tensor/tensor.js';
import { describedModel, forwardPass } from './forward-pass.js';
import { writeTinyLlama } from './tiny-llama-folder.js';
import { resolvePlan, runPlan, type FinishedRun, type PlanWish, type RunWish } from './worker-run.js';

export const manyRows = Array.from({ length: 6 }, (_, row) => Array.from({ length: 40 }, (_, i) => (11 * i + 17 * row + i * i) % 96));

export interface CorrectedWish extends RunWish {
  /** Modifiers, one to a line. */
  modifiers: string;
  rows?: number[][];
  /** New value of element i of a tensor; undefined: as it was. */
  change?: (tensor: string, i: number) => number | undefined;
  /** Instead of a random Llama in `<dir>/model`. */
  write?: (dir: string) => void;
  evaluate?: PlanWish['evaluate'];
}

/** A run in `dir`: the model in `model`, the checkpoint in `out`. */
export async function correctedRun(dir: string, wish: CorrectedWish): Promise<FinishedRun & { plan: QuantizationPlan }> {
  const { modifiers, rows = manyRows, change, write, evaluate, ...run } = wish;
  const model = path.join(dir, 'model');
  if (write) write(model);
  else writeTinyLlama(model, 'random');
  const file = path.join(model, 'model.safetensors');
  const bytes = readFileSync(file);
  for (const { name, offset, shape } of (await readSafetensorsHeader(nodeFiles, file, file)).tensors)
    for (let i = 0; change && i < shape.reduce((a, b) => a * b, 1); i += 1) {
      const value = change(name, i);
      if (value !== undefined) bytes.writeFloatLE(value, offset + 4 * i);
    }
  writeFileSync(file, bytes);
  const dataset = path.join(dir, 'rows.jsonl');
  writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
  const recipe = `quant_stage:\n  quant_modifiers:\n${modifiers.replace(/^/gm, '    ')}\n`;
  const plan = await resolvePlan({
    recipe,
    model,
    output: path.join(dir, 'out'),
    calibration: { dataset, num_calibration_samples: rows.length },
    ...(evaluate ? { evaluate } : {}),
  });
  return { ...(await runPlan(plan, run)), plan };
}

/** Codes and layers of what a run told. */
export const told = (report: RunReport | null): string[] => (report?.problems ?? []).map(({ code, layer }) => `${code} ${layer}`);

/** What a linear of a folder puts out for inputs that it is given: [tokens][rows]. */
export async function outputsOf(
  device: Device,
  folder: string,
  module: string,
  inputs: Float32Array,
  columns: number,
): Promise<number[][]> {
  const model = await describedModel(folder);
  using weights = await loadWeights(
    openTensorReader(device, modelTensors(model)),
    (name) => name.startsWith(`${module}.`),
    (name) => model.quantization?.layers[name] ?? null,
  );
  using x = device.fromFloats([inputs.length / columns, columns], inputs);
  const { weight, bias } = weights.linear(module);
  using y = linear(x, weight, bias);
  const values = await y.readFloats();
  const rows = weight.shape[0] ?? 0;
  return Array.from({ length: inputs.length / columns }, (_, t) => [...values.subarray(t * rows, (t + 1) * rows)]);
}

/** The inputs of a linear in a folder's model over the rows, as one matrix. */
export async function inputsOf(device: Device, folder: string, module: string, rows: readonly number[][]): Promise<Float32Array> {
  const found: Promise<Float32Array>[] = [];
  await forwardPass(
    device,
    await describedModel(folder),
    rows.map((row) => Int32Array.from(row)),
    (tapped, input) => {
      if (tapped === module) found.push(input.readFloats());
    },
  );
  const [values] = await Promise.all(found);
  if (values === undefined) throw new Error(`No input of ${module} was seen.`);
  return values;
}
