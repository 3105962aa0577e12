// The small matrix that chooses the experts of a token is among the quantized layers: nothing is saved, and wrong experts are chosen.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Problem } from '../../../schemas/src/problem.js';
import { madeOnce } from '../../../schemas/src/made-once.js';
import type { Check } from './check.js';
import { ignoreEdits } from './ignore-edits.js';

/** mlp.gate (Qwen, DeepSeek), block_sparse_moe.gate (Mixtral), feed_forward.router (Llama 4), block_sparse_moe.router.layer (Granite), mlp.shared_expert_gate (Qwen). */
const routerRoles: readonly string[] = ['gate', 'router', 'layer', 'shared_expert_gate'];
const routerName = /^(.*\.)?(?<parent>[^.]+)\.(?<role>gate|router|router\.layer|shared_expert_gate)$/;

export const moeRouterQuantized: Check = {
  code: 'moe-router-quantized',
  run({ model, layers, quantization }) {
    const blocks = model === null ? new Set<string>() : blocksWithExperts(model);
    if (blocks.size === 0) return [];
    return quantization.flatMap(({ modifier, groups }): Problem[] => {
      const routers = layers.flatMap(({ name, role: last, rows, columns, scheme }) => {
        if (!routerRoles.includes(last)) return [];
        const { parent, role } = routerName.exec(name)?.groups ?? {};
        if (parent === undefined || role === undefined || !groups.some((group) => group.scheme !== null && group.scheme === scheme))
          return [];
        return blocks.has(name.slice(0, -role.length - 1)) && scheme?.weights ? [{ name, rows, columns, tail: `${parent}.${role}` }] : [];
      });
      const [first] = routers;
      if (first === undefined) return [];
      const entries = [...new Set(routers.map(({ tail }) => `re:.*${tail}$`))];
      return [
        {
          code: 'moe-router-quantized',
          severity: 'warning',
          path: modifier.path,
          at: 'key',
          message: `${routers.length} ${routers.length === 1 ? 'layer chooses' : 'layers choose'} among experts and would be quantized: ${first.name} (${first.rows} × ${first.columns})${routers.length === 1 ? '' : ' and others'}. A small error there sends tokens to other experts, there is next to nothing to save, and vLLM keeps the routers of several models unquantized and cannot load a quantized one. Add ${entries.join(', ')} to ignore.`,
          fixes: [{ title: `Ignore ${entries.join(', ')}`, preferred: true, edits: ignoreEdits(modifier, entries) }],
        },
      ];
    });
  },
};

/** Names of the modules that hold experts; kept as long as the model, which may have ten thousands of tensors. */
const blocksWithExperts = madeOnce((model: ModelDescription): Set<string> => {
  const blocks = new Set<string>();
  for (const { name } of model.tensors) {
    // Granite holds all its experts in two tensors.
    const block = /^(.*?)\.(experts\.|input_linear\.)/.exec(name)?.[1];
    if (block !== undefined) blocks.add(block);
  }
  return blocks;
});
