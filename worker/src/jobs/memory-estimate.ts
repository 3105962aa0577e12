// What the plan needs against what the machine has, before the run and measured during it.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { freeHostMemory } from '../../../schemas/src/free-memory.js';
import type { MemoryNeed, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { processBytes } from '../../../schemas/src/process-bytes.js';
import { roomForRun } from '../../../schemas/src/room-for-run.js';
import type { NativeDevice } from '../native-core.js';
import type { Device } from '../tensor/tensor.js';
import { runFailure } from '../../../schemas/src/run-failure.js';

/** The tighter of the memory that is free here and the plan's own limit. */
export const availableMemory = (plan: Pick<QuantizationPlan, 'max_memory_bytes'>): number =>
  Math.min(freeHostMemory(), plan.max_memory_bytes ?? Infinity);

/** What the native core may take of the device, 0: no limit. A CPU's tensors share max_memory with the process around them. */
function deviceLimit(plan: Pick<QuantizationPlan, 'max_memory_bytes' | 'max_device_memory_bytes'>, kind: NativeDevice['kind']): number {
  if (kind === 'cuda') return plan.max_device_memory_bytes ?? 0;
  return plan.max_memory_bytes === null ? 0 : Math.max(1, plan.max_memory_bytes - processBytes);
}

/**
 * Throws memory-too-small where nothing that a run can give up would make it fit. Answers what to tell where it will have to give something up: null where it need not.
 * CUDA devices, whose limits stand, are never refused: their governor knows what is free better than an estimate that takes tensors below 32 MiB for twice as large.
 */
export function checkMemory(plan: Pick<QuantizationPlan, 'estimate' | 'max_memory_bytes'>, devices: readonly Device[]): RunProblem | null {
  if (devices[0]?.native.kind === 'cuda') return checkDevices(plan.estimate.cuda, devices);
  const { peak_memory_bytes, peak_memory_stage, least_memory_bytes, least_memory_stage } = plan.estimate;
  const available = availableMemory(plan);
  if (peak_memory_bytes <= available) return null;
  if (least_memory_bytes > available)
    throw runFailure.memoryTooSmall(bytesText(least_memory_bytes), `${bytesText(available)} is free`, least_memory_stage);
  const advice = plan.max_memory_bytes === null ? 'use a machine with more memory' : 'raise max_memory';
  return shortage(
    `Memory is short: ${peak_memory_stage} needs about ${bytesText(peak_memory_bytes)}, and ${bytesText(available)} can be used. Hidden states go to files and fewer rows pass at a time where it runs out, which takes longer; to save that time, lower max_seq_length or num_calibration_samples, or ${advice}.`,
  );
}

const shortage = (message: string): RunProblem => ({
  code: 'memory-degraded',
  severity: 'warning',
  message,
  layer: null,
  recipe_path: null,
});

function checkDevices(
  { peak_memory_bytes, peak_memory_stage, least_memory_bytes }: MemoryNeed,
  devices: readonly Device[],
): RunProblem | null {
  // No tensor is there yet: what a device has given out is what it needs to begin.
  const room = Math.min(
    ...devices.map(({ native }) => {
      const { free_bytes, peak_bytes } = native.memory();
      return (free_bytes ?? Infinity) + peak_bytes;
    }),
  );
  if (peak_memory_bytes <= room) return null;
  return shortage(
    `Device memory is short: ${peak_memory_stage} needs about ${bytesText(peak_memory_bytes)}, and ${bytesText(room)} can be used. Where it runs out, less is there at a time, down to about ${bytesText(least_memory_bytes)}, which takes longer; lower max_seq_length, or give the run more device memory.`,
  );
}

/** Where memory is short there is a limit even if nobody asks for one: without it the system would run out, and the run could give nothing up. */
export function limitMemory(
  plan: Pick<QuantizationPlan, 'estimate' | 'max_memory_bytes' | 'max_device_memory_bytes'>,
  devices: readonly Device[],
): void {
  const available = availableMemory(plan);
  for (const { native } of devices) {
    const isShort = native.kind === 'cpu' && plan.estimate.peak_memory_bytes > available;
    native.limitMemory(isShort ? Math.max(1, available - processBytes) : deviceLimit(plan, native.kind));
  }
}

/** `work` under such a limit, which ends with it; what `checkMemory` finds comes first. */
export async function withinMemory<T>(
  plan: Parameters<typeof limitMemory>[0],
  devices: readonly Device[],
  tell: (problem: RunProblem) => void,
  work: () => Promise<T>,
): Promise<T> {
  limitMemory(plan, devices);
  try {
    const short = checkMemory(plan, devices);
    if (short !== null) tell(short);
    return await work();
  } finally {
    for (const { native } of devices) native.limitMemory(0);
  }
}

/** Shards of an unfinished run are not written again, or make room when the run folder begins anew. */
export async function checkDisk(needed: number, dir: string, work: string): Promise<void> {
  const room = await roomForRun(dir);
  if (room !== null && needed > room) throw runFailure.diskTooSmall(dir, bytesText(needed), bytesText(room), work);
}

/** Largest resident size of this process so far. */
export const residentPeakBytes = (): number => process.resourceUsage().maxRSS * 1024;
