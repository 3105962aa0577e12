// A config.json whose sizes are not those of the tensors beside it: no forward pass fits both, and the checkpoint that is written could not be loaded.
import path from 'node:path';
import { contradictions } from '../../../schemas/src/model/architecture-tensors.js';
import { canaryOf } from '../plan/resolve-canary.js';
import { needsCalibration } from '../plan/needs-calibration.js';
import type { Check } from './check.js';

const n_shown = 2;

export const configContradictsTensors: Check = {
  code: 'config-contradicts-tensors',
  run(resolution) {
    const { model, document, evaluations, tasks } = resolution;
    // A quantized model is another finding, and its tensors have shapes of their own.
    if (!model?.architecture || model.quantization !== null) return [];
    const isRun =
      needsCalibration(resolution) !== null || evaluations.length > 0 || tasks.files.length > 0 || canaryOf(resolution) !== null;
    const found = contradictions(model, model.architecture, isRun);
    if (found.length === 0) return [];
    const more = found.length > n_shown ? `; and ${found.length - n_shown} more such tensors` : '';
    const shown = found.slice(0, n_shown);
    return [
      {
        code: 'config-contradicts-tensors',
        severity: 'error',
        path: document.has(['model']) ? ['model'] : [],
        at: 'value',
        message: `${path.join(model.dir, 'config.json')} does not describe the tensors beside it: ${shown.join('; ')}${more}. The model could not be run, nor its checkpoint be loaded. Put the config.json of this very checkpoint there, or download the model again.`,
      },
    ];
  },
};
