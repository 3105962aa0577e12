// A recipe that says no place for the result: it can be checked but not run. A plain llm-compressor recipe is such a one, so this is no error.
import type { Check } from './check.js';

export const outputDirMissing: Check = {
  code: 'output-dir-missing',
  run: ({ model, outputDir, document }) =>
    model === null || outputDir !== null || document.has(['output', 'dir']) || typeof document.value['output'] === 'string'
      ? []
      : [
          {
            code: 'output-dir-missing',
            severity: 'information',
            path: 'output' in document.value ? ['output'] : [],
            at: 'key',
            message:
              'The recipe does not say where the checkpoint goes, so it can be checked but not run. Add output: with dir, or give --out DIR.',
          },
        ],
};
