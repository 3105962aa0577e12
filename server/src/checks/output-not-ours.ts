// An output folder with files that no run has written there: a run would not replace them, and stops.
import type { Check } from './check.js';
import { firstOf } from './first-of.js';
import { outputInsideModelFolder } from './output-inside-model-folder.js';

const mostNames = 3;

export const outputNotOurs: Check = {
  code: 'output-not-ours',
  run(resolution) {
    const { outputDir, othersFiles } = resolution;
    if (outputDir === null || othersFiles.length === 0 || outputInsideModelFolder.run(resolution).length > 0) return [];
    return [
      {
        code: 'output-not-ours',
        severity: 'error',
        path: ['output', 'dir'],
        at: 'value',
        message: `${outputDir} exists and was not written by Bitwright: it holds ${firstOf(othersFiles, mostNames)}. A checkpoint replaces the whole folder, so a run stops before it begins. Choose another output.dir, or move the folder away.`,
      },
    ];
  },
};
