// Expert pruning for a model that has no experts: llm-compressor stops when it starts.
import type { Check } from './check.js';

export const modelWithoutExperts: Check = {
  code: 'model-without-experts',
  run({ model, modifiers }) {
    const pruning = modifiers.filter(({ name }) => name === 'REAPPruningModifier');
    if (pruning.length === 0 || model === null || model.tensors.some(({ name }) => /(^|\.)experts?(\.|$)/.test(name))) return [];
    return pruning.map(({ path }) => ({
      code: 'model-without-experts',
      severity: 'error',
      path,
      at: 'key',
      message: `REAPPruningModifier removes experts, and ${model.architecture_name ?? 'the model'} has none: no tensor of it belongs to one. Use SparseGPTModifier or WandaPruningModifier for a dense model.`,
    }));
  },
};
