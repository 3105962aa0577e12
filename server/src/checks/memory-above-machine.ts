// An estimated peak above what this machine has: an error where nothing the run could give up would make it fit, else a warning.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { estimateOf, memoryLimit } from '../plan/build-plan.js';
import { bytesOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const memoryAboveMachine: Check = {
  code: 'memory-above-machine',
  run(resolution) {
    if (resolution.model === null) return [];
    const { peak_memory_bytes: peak, peak_memory_stage, least_memory_bytes: least, least_memory_stage } = estimateOf(resolution);
    const cap = bytesOf(resolution.document.value['max_memory']);
    const limit = memoryLimit(resolution);
    if (peak <= limit) return [];
    const has = `${cap === null ? 'this machine has' : 'max_memory allows'} ${bytesText(limit)}`;
    const advice = `Lower calibration.max_seq_length or num_calibration_samples${cap === null ? '' : ', or raise max_memory'}`;
    const isPossible = least <= limit;
    return [
      {
        code: 'memory-above-machine',
        severity: isPossible ? 'warning' : 'error',
        path: cap === null ? ['model'] : ['max_memory'],
        at: 'value',
        message: isPossible
          ? `${sentenceOf(peak_memory_stage)} needs about ${bytesText(peak)} of memory, ${has}. The run will put hidden states into files and pass fewer rows at a time, with which it needs about ${bytesText(least)} and takes longer. ${advice} to save that time.`
          : `${sentenceOf(least_memory_stage)} needs about ${bytesText(least)} of memory at the least, ${has}. ${advice}.`,
      },
    ];
  },
};

const sentenceOf = (stage: string): string => `${stage[0]?.toUpperCase() ?? ''}${stage.slice(1)}`;
