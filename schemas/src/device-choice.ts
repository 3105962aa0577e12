// Which devices a recipe, a setting or a command asks for: auto, cpu, cuda (all of them), cuda:0 (one), cuda:0,1 (some).
import type { MemoryNeed, QuantizationPlan } from './generated/plan.js';

export interface DeviceChoice {
  kind: 'auto' | 'cpu' | 'cuda';
  /** Numbers of the devices, in the order of their use; null: all that can be used. */
  indices: readonly number[] | null;
}

/** null for what is none. The numbers are those of `bitwright devices`; a number that is said twice counts once. */
export function parseDeviceChoice(text: string): DeviceChoice | null {
  if (text === 'auto' || text === 'cpu' || text === 'cuda') return { kind: text, indices: null };
  const numbers = /^cuda:(\d{1,4}(?:,\d{1,4})*)$/.exec(text)?.[1];
  return numbers === undefined ? null : { kind: 'cuda', indices: [...new Set(numbers.split(',').map(Number))] };
}

/** What a run needs of the device that its plan names; auto: as on the CPU. */
export const memoryNeedOf = ({ device, estimate }: Pick<QuantizationPlan, 'device' | 'estimate'>): MemoryNeed =>
  parseDeviceChoice(device)?.kind === 'cuda' ? estimate.cuda : estimate;

/** For messages: what may be said. */
export const deviceForms = 'auto, cpu, cuda (all CUDA devices), one by its number as in cuda:0, or several as in cuda:0,1';
