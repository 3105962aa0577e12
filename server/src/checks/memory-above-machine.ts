// An estimated peak above what this machine has.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { estimateOf, memoryLimit } from '../plan/build-plan.js';
import { bytesOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const memoryAboveMachine: Check = {
  code: 'memory-above-machine',
  run(resolution) {
    if (resolution.model === null) return [];
    const { peak_memory_bytes: peak, peak_memory_stage: stage } = estimateOf(resolution);
    const cap = bytesOf(resolution.document.value['max_memory']);
    const limit = memoryLimit(resolution);
    if (peak <= limit) return [];
    return [
      {
        code: 'memory-above-machine',
        severity: 'error',
        path: cap === null ? ['model'] : ['max_memory'],
        at: 'value',
        message: `${stage[0]?.toUpperCase() ?? ''}${stage.slice(1)} needs about ${bytesText(peak)} of memory, ${cap === null ? 'this machine has' : 'max_memory allows'} ${bytesText(limit)}. Lower calibration.max_seq_length or num_calibration_samples${cap === null ? '' : ', or raise max_memory'}.`,
      },
    ];
  },
};
