// The order in which a block computes, for every list or picture of layers by their roles.

/** Fused projections stand behind their parts; those with a and b are the two steps of DeepSeek's latent attention. */
export const roleOrder: readonly string[] = [
  'q_proj',
  'k_proj',
  'v_proj',
  'qkv_proj',
  'q_a_proj',
  'q_b_proj',
  'kv_a_proj_with_mqa',
  'kv_b_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'gate_up_proj',
  'down_proj',
];
