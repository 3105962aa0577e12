// What the plan needs against what the machine has, before the run and measured during it.
import os from 'node:os';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { roomForRun } from '../../../schemas/src/room-for-run.js';
import { runFailure } from '../../../schemas/src/run-failure.js';

/** The tighter of the memory that is free here (control groups counted in) and the plan's own limit. */
export function availableMemory(plan: QuantizationPlan): number {
  const free = typeof process.availableMemory === 'function' ? process.availableMemory() : os.freemem();
  return Math.min(free, plan.max_memory_bytes ?? Infinity);
}

export function checkMemory(plan: QuantizationPlan): void {
  const { peak_memory_bytes, peak_memory_stage } = plan.estimate;
  const available = availableMemory(plan);
  if (peak_memory_bytes > available) throw runFailure.memoryTooSmall(bytesText(peak_memory_bytes), bytesText(available), peak_memory_stage);
}

/** Shards of an unfinished run are not written again, or make room when the run folder begins anew. */
export async function checkDisk({ estimate }: QuantizationPlan, runDir: string): Promise<void> {
  const room = await roomForRun(runDir);
  if (room !== null && estimate.disk_bytes > room)
    throw runFailure.diskFull(runDir, `${bytesText(estimate.disk_bytes)}, and can use ${bytesText(room)}`);
}

/** Largest resident size of this process so far. */
export const residentPeakBytes = (): number => process.resourceUsage().maxRSS * 1024;
