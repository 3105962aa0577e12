// An estimated peak above what this machine has: an error where nothing the run could give up would make it fit, else a warning. On CUDA devices, whose
// memory the editor does not know, above max_device_memory, and always a warning, as the worker refuses nothing there.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { parseDeviceChoice } from '../../../schemas/src/device-choice.js';
import { estimateOf, leastOfAnyRows, memoryLimit } from '../plan/build-plan.js';
import { needsCalibration } from '../plan/needs-calibration.js';
import { bytesOf, textOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const memoryAboveMachine: Check = {
  code: 'memory-above-machine',
  run(resolution) {
    if (resolution.model === null) return [];
    const { value } = resolution.document;
    const isCuda = parseDeviceChoice(resolution.context.overrides?.device ?? textOf(value['device'], 'auto'))?.kind === 'cuda';
    const estimate = estimateOf(resolution);
    const { peak_memory_bytes: peak, peak_memory_stage, least_memory_bytes: least, least_memory_stage } = isCuda ? estimate.cuda : estimate;
    const key = isCuda ? 'max_device_memory' : 'max_memory';
    const cap = bytesOf(value[key]);
    const limit = isCuda ? (cap ?? Infinity) : memoryLimit(resolution);
    if (peak <= limit) return [];
    const has = `${cap === null ? 'this machine has' : `${key} allows`} ${bytesText(limit)}`;
    const raise = cap === null ? '' : `, or raise ${key}`;
    const advice = `Lower calibration.max_seq_length or num_calibration_samples${raise}`;
    const isPossible = isCuda || least <= limit;
    const without = needsCalibration(resolution) === null ? '' : ', or take QuantizationModifier with a scheme that needs no rows';
    const instead =
      isPossible || leastOfAnyRows(resolution, isCuda) <= limit
        ? advice
        : `That is what one block takes, however few and short the rows. Run it on a machine with more memory${without}${raise}`;
    return [
      {
        code: 'memory-above-machine',
        severity: isPossible ? 'warning' : 'error',
        path: cap === null ? ['model'] : [key],
        at: 'value',
        message: isPossible
          ? `${sentenceOf(peak_memory_stage)} needs about ${bytesText(peak)} of memory, ${has}. The run will put hidden states into files and pass fewer rows at a time, with which it needs about ${bytesText(least)} and takes longer. ${advice} to save that time.`
          : `${sentenceOf(least_memory_stage)} needs about ${bytesText(least)} of memory at the least, ${has}. ${instead}.`,
      },
    ];
  },
};

const sentenceOf = (stage: string): string => `${stage[0]?.toUpperCase() ?? ''}${stage.slice(1)}`;
