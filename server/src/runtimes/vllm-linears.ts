// The linear layers of a decoder block as vLLM holds them: q, k, v and gate, up joined into one, and which side of each is split over GPUs.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';

export interface VllmLinear {
  /** As vLLM calls it: qkv_proj, gate_up_proj, o_proj, down_proj. */
  role: string;
  /** In the order of the join. */
  members: readonly LayerPlan[];
  /** columns: outputs are split over GPUs (vLLM's ColumnParallelLinear); rows: inputs are (RowParallelLinear). */
  parallel: 'column' | 'row';
}

const joined: Readonly<Record<string, string>> = {
  q_proj: 'qkv_proj',
  k_proj: 'qkv_proj',
  v_proj: 'qkv_proj',
  gate_proj: 'gate_up_proj',
  up_proj: 'gate_up_proj',
  o_proj: 'o_proj',
  down_proj: 'down_proj',
};
/** vLLM's RowParallelLinear. */
export const splitInputs: readonly string[] = ['o_proj', 'down_proj'];

/** Experts go through kernels of their own, and towers for pictures and sound are often not split. */
export const isElsewhere = (name: string): boolean => /\.experts\.|shared_expert|vision|visual|audio/.test(name);

/** Only those whose members share one scheme: others are refused before shapes matter (fused-siblings-differ). */
export function vllmLinears(layers: readonly LayerPlan[]): VllmLinear[] {
  const found = new Map<string, VllmLinear & { members: LayerPlan[] }>();
  for (const layer of layers) {
    const role = Object.hasOwn(joined, layer.role) ? joined[layer.role] : undefined;
    if (role === undefined || layer.block === null || (layer.scheme?.weights ?? null) === null || isElsewhere(layer.name)) continue;
    const key = layer.name.slice(0, -layer.role.length) + role;
    const known = found.get(key);
    if (known === undefined) found.set(key, { role, members: [layer], parallel: splitInputs.includes(role) ? 'row' : 'column' });
    else known.members.push(layer);
  }
  const order = Object.keys(joined);
  for (const { members } of found.values()) members.sort((a, b) => order.indexOf(a.role) - order.indexOf(b.role));
  return [...found.values()].filter(shareScheme);
}

function shareScheme({ members }: VllmLinear): boolean {
  const [first] = members;
  return members.every(({ scheme }) => scheme === first?.scheme || JSON.stringify(scheme) === JSON.stringify(first?.scheme));
}
