// One GPU's share of a linear layer under tensor parallelism; null where the layer cannot be split so (tensor-parallel-cuts-group says it).
import type { ArchitectureFacts } from '../../../schemas/src/generated/plan.js';
import type { VllmLinear } from './vllm-linears.js';

export interface LinearShare {
  inputs: number;
  outputs: number;
  allInputs: number;
}

export function shareOf({ members, parallel }: VllmLinear, gpus: number, architecture: ArchitectureFacts | null): LinearShare | null {
  const allInputs = members[0]?.columns ?? 0;
  if (parallel === 'row') {
    const outputs = members[0]?.rows ?? 0;
    return allInputs % gpus === 0 ? { inputs: allInputs / gpus, outputs, allInputs } : null;
  }
  let outputs = 0;
  for (const { role, rows } of members) {
    const heads = role === 'k_proj' || role === 'v_proj' ? (architecture?.num_key_value_heads ?? Infinity) : Infinity;
    // More GPUs than key/value heads: each has a copy of one.
    const parts = Math.min(gpus, heads);
    if (rows % parts !== 0) return null;
    outputs += rows / parts;
  }
  return { inputs: allInputs, outputs, allInputs };
}
