// A modifier that needs data in a recipe that names none: llm-compressor fails with an error about None after the model is loaded.
import { needsCalibration } from '../plan/needs-calibration.js';
import type { Check } from './check.js';

export const calibrationMissing: Check = {
  code: 'calibration-missing',
  run(resolution) {
    const needing = needsCalibration(resolution);
    // To a model that cannot be run here no data helps, and architecture-not-runnable says so.
    if (needing === null || resolution.calibration !== null || resolution.model?.architecture === null) return [];
    // Without a place for the result nothing is run: the text is a plain llm-compressor recipe, whose data comes from its caller.
    const plain = resolution.outputDir === null && !('calibration' in resolution.document.value);
    return [
      {
        code: 'calibration-missing',
        severity: plain ? 'information' : 'error',
        path: needing.path,
        at: 'key',
        message: `${needing.name} needs calibration data and the recipe names none. Add calibration: with a dataset (.jsonl, .txt or .csv), or give --dataset FILE.`,
      },
    ];
  },
};
