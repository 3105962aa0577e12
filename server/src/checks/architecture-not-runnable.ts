// Calibration or evaluation of a model that cannot be run here.
import { canaryOf } from '../plan/resolve-canary.js';
import { needsCalibration } from '../plan/resolution.js';
import type { Check } from './check.js';

export const architectureNotRunnable: Check = {
  code: 'architecture-not-runnable',
  run(resolution) {
    const { model, architectureReason, evaluations, tasks } = resolution;
    if (model === null || model.architecture !== null) return [];
    const needing = needsCalibration(resolution);
    const name = model.architecture_name ?? 'The model';
    const reason = `${name} cannot be run here: ${architectureReason ?? 'its architecture is unknown'}`;
    if (needing !== null)
      return [
        {
          code: 'architecture-not-runnable',
          severity: 'error',
          path: needing.path,
          at: 'key',
          message: `${needing.name} runs calibration data through the model. ${reason}. Use a data-free scheme with QuantizationModifier, such as W4A16.`,
        },
      ];
    if (evaluations.length > 0 || tasks.files.length > 0)
      return [
        {
          code: 'architecture-not-runnable',
          severity: 'error',
          path: ['evaluate'],
          at: 'key',
          message: `evaluate runs the model. ${reason}. Remove evaluate; the quantization itself needs no data.`,
        },
      ];
    if (canaryOf(resolution) !== null)
      return [
        {
          code: 'architecture-not-runnable',
          severity: 'error',
          path: ['canary'],
          at: 'key',
          message: `The canary runs the half-quantized model and compares its predictions of the next token. ${reason}. Remove canary; the quantization itself needs no data.`,
        },
      ];
    return [];
  },
};
