// An output folder that is the model folder, lies in it, or holds it.
import path from 'node:path';
import type { Check } from './check.js';

const holds = (outer: string, inner: string): boolean =>
  !path.relative(outer, inner).startsWith('..') && !path.isAbsolute(path.relative(outer, inner));

export const outputInsideModelFolder: Check = {
  code: 'output-inside-model-folder',
  run({ model, outputDir, document }) {
    if (model === null || outputDir === null || !(holds(model.dir, outputDir) || holds(outputDir, model.dir))) return [];
    return [
      {
        code: 'output-inside-model-folder',
        severity: 'error',
        path: ['output', 'dir'],
        at: 'value',
        message: `The output folder ${outputDir} and the model folder ${model.dir} lie in each other: a finished run would change or replace the original. Choose a folder beside it.`,
        related: document.has(['model']) ? [{ path: ['model'], at: 'value', message: 'the model is named here' }] : [],
      },
    ];
  },
};
