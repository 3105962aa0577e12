// A recipe that is to run and says no place for the result.
import type { Check } from './check.js';

export const outputDirMissing: Check = {
  code: 'output-dir-missing',
  run: ({ model, outputDir, document }) =>
    model === null || outputDir !== null
      ? []
      : [
          {
            code: 'output-dir-missing',
            severity: 'error',
            path: 'output' in document.value ? ['output'] : [],
            at: 'key',
            message: 'The recipe does not say where the checkpoint goes. Add output: with dir, or give --out DIR.',
          },
        ],
};
