// Linears that servers run as one: under NVFP4 they share a global scale. The sets are those of llm-compressor 0.13, observers/helpers.py.
const fusedRoles: readonly (readonly string[])[] = [
  ['gate_proj', 'up_proj'],
  ['q_proj', 'k_proj', 'v_proj'],
  ['q_a_proj', 'kv_a_proj_with_mqa'],
  ['w1', 'w3'],
];

/** Those of `modules` that are fused with `module`, without itself. */
export function fusedWith(module: string, modules: readonly string[]): string[] {
  const dot = module.lastIndexOf('.') + 1;
  const parent = module.slice(0, dot);
  const roles = fusedRoles.find((set) => set.includes(module.slice(dot))) ?? [];
  return modules.filter((other) => other !== module && roles.some((role) => other === `${parent}${role}`));
}
