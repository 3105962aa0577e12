// The importance that a run has measured, beside its report: what llama-quantize, or `imatrix` of another recipe, can take in place of calibration.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { QuantizationPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { ggufName } from '../../../schemas/src/model/gguf-names.js';
import { floatsOf } from '../../../schemas/src/model/imatrix.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { isRotation, isScaling } from '../../../schemas/src/modifiers.js';
import { imatrixFile, writeImatrix, type ColumnSums } from '../checkpoint/imatrix-file.js';

const changesInputs = (transform: TransformPlan): boolean => isScaling(transform) || isRotation(transform);

/** Behind these transforms the inputs are no longer those of the model that is given: none is written. One of an earlier run goes, where this one does not read it. */
export async function writeRunImatrix(plan: QuantizationPlan, runDir: string, layers: readonly LayerMetrics[]): Promise<void> {
  const file = imatrixFile(runDir);
  const { architecture } = plan.model;
  const found: ColumnSums[] = [];
  for (const { name, columns, importance } of plan.transforms.some(changesInputs) ? [] : layers) {
    const gguf = architecture && ggufName(`${name}.weight`, architecture);
    if (importance === undefined || gguf === null) continue;
    const { sums, rows, tokens } = importance;
    found.push({
      name: gguf,
      sums: floatsOf(await nodeFiles.readRange(path.join(runDir, sums.file), sums.offset, 4 * columns)),
      rows,
      tokens,
    });
  }
  const isRead = plan.layers.some(({ quantizer }) => quantizer?.name === 'gguf' && quantizer.imatrix?.file === file);
  if (found.length > 0) await writeImatrix(file, plan.calibration?.dataset ?? '', found);
  else if (!isRead) await rm(file, { force: true });
}
