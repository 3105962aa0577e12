// A modifier that needs data in a recipe that names none: llm-compressor fails with an error about None after the model is loaded.
import { needsCalibration } from '../plan/resolution.js';
import type { Check } from './check.js';

export const calibrationMissing: Check = {
  code: 'calibration-missing',
  run(resolution) {
    const needing = needsCalibration(resolution);
    // Without any of our own keys the text is a plain llm-compressor recipe: data comes from its caller.
    if (needing === null || resolution.calibration !== null) return [];
    const plain =
      !['model', 'calibration', 'output'].some((key) => key in resolution.document.value) && resolution.context.overrides === undefined;
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
