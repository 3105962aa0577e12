// Where the memory of a run was, at its most.
import { residentPeakBytes } from '../jobs/memory-estimate.js';
import type { RunFacts } from '../report/run-report.js';
import type { RunContext } from '../run-context.js';

export function memoryPlaces({ devices, hiddenStates }: Pick<RunContext, 'devices' | 'hiddenStates'>): RunFacts['places'] {
  const activations = hiddenStates?.() ?? null;
  const memories = devices.map(({ native }) => native.memory());
  return {
    devices: devices.map(({ native: { kind, name } }, index) => {
      const { peak_bytes = 0, total_bytes = null, limit_bytes = 0 } = memories[index] ?? {};
      return { kind, name, peak_bytes, total_bytes, limit_bytes: limit_bytes || null };
    }),
    process_peak_bytes: residentPeakBytes(),
    pinned_peak_bytes: memories.reduce((sum, { host_peak_bytes }) => sum + host_peak_bytes, 0),
    activations: activations && { device_bytes: activations.device, host_bytes: activations.host, disk_bytes: activations.disk },
  };
}
