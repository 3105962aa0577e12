// The order in which a block computes, for every list or picture of layers by their roles.

/** Fused projections stand behind their parts. */
export const roleOrder: readonly string[] = [
  'q_proj',
  'k_proj',
  'v_proj',
  'qkv_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'gate_up_proj',
  'down_proj',
];
