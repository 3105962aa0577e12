// What an analysis or a search is going to take of memory, and what there is of it, said before it begins.
import { planWithNeed, type needOf } from '../../../schemas/src/analysis-measures.js';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { memoryNeedOf, parseDeviceChoice } from '../../../schemas/src/device-choice.js';
import { freeHostMemory } from '../../../schemas/src/free-memory.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';

/** Nothing where nothing is known. */
export function memoryLines(plan: QuantizationPlan, need: ReturnType<typeof needOf>): string[] {
  if (need === null) return [];
  const { peak_memory_bytes, peak_memory_stage } = memoryNeedOf(planWithNeed(plan, need));
  const onCuda = parseDeviceChoice(plan.device)?.kind === 'cuda';
  const [key, most] = onCuda ? ['max_device_memory', plan.max_device_memory_bytes] : ['max_memory', plan.max_memory_bytes];
  const free = onCuda ? Infinity : freeHostMemory();
  const limit = most !== null && most <= free ? `; ${key} allows ${bytesText(most)}` : onCuda ? '' : `; ${bytesText(free)} is free`;
  return [`Memory       about ${bytesText(peak_memory_bytes)} at most, while ${peak_memory_stage}${limit}`];
}
