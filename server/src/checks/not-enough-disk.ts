// Less free space where the output goes than its checkpoint and the shards of the run folder take together.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { estimateOf } from '../plan/build-plan.js';
import type { Check } from './check.js';

export const notEnoughDisk: Check = {
  code: 'not-enough-disk',
  run(resolution) {
    const { model, outputDir, freeBytes, document } = resolution;
    if (model === null || outputDir === null || freeBytes === null) return [];
    const { disk_bytes: needed, weights_bytes_after: checkpoint } = estimateOf(resolution);
    if (needed <= freeBytes) return [];
    return [
      {
        code: 'not-enough-disk',
        severity: 'error',
        path: document.value['output'] === undefined ? [] : ['output', 'dir'],
        at: 'value',
        message: `The run needs about ${bytesText(needed)} of disk: ${bytesText(checkpoint)} for the checkpoint and as much again for the shards of ${outputDir}.run while it is assembled, the rest for what stands beside them. ${bytesText(freeBytes)} are free there. Free ${bytesText(needed - freeBytes)}, or choose a folder on another volume.`,
      },
    ];
  },
};
