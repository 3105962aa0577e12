// An output folder that is a file, or lies below one: it cannot be made, which a run would say before its first block.
import type { Check } from './check.js';

export const outputNotAFolder: Check = {
  code: 'output-not-a-folder',
  run({ outputDir, outputFile }) {
    if (outputDir === null || outputFile === null) return [];
    const what =
      outputDir === outputFile
        ? `${outputDir} is a file, and a checkpoint is a folder`
        : `The output folder ${outputDir} cannot be made, as ${outputFile} is a file and no folder`;
    return [
      {
        code: 'output-not-a-folder',
        severity: 'error',
        path: ['output', 'dir'],
        at: 'value',
        message: `${what}. Choose another folder, or move the file away.`,
      },
    ];
  },
};
