// What the plan needs against what the machine has, before the run and measured during it.
import os from 'node:os';
import { statfs } from 'node:fs/promises';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
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

export async function checkDisk(plan: QuantizationPlan, dir: string): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  if (plan.estimate.disk_bytes > bavail * bsize)
    throw runFailure.diskFull(dir, `${bytesText(plan.estimate.disk_bytes)}, ${bytesText(bavail * bsize)} is free`);
}

/** Largest resident size of this process so far. */
export const residentPeakBytes = (): number => process.resourceUsage().maxRSS * 1024;
