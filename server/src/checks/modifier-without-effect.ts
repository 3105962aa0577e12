// A modifier that does nothing when a model is quantized: it belongs to training, or its list of work is empty.
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { booleanOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const modifierWithoutEffect: Check = {
  code: 'modifier-without-effect',
  run: ({ modifiers }) =>
    modifiers.flatMap((modifier) => {
      const reason = reasonOf(modifier);
      if (reason === null) return [];
      return [
        { code: 'modifier-without-effect', severity: 'warning', path: modifier.path, at: 'key', message: `${modifier.name} ${reason}` },
      ];
    }),
};

function reasonOf({ name, body }: RecipeModifier): string | null {
  if (name === 'MagnitudePruningModifier' || name === 'ConstantPruningModifier')
    return 'follows the steps of a training; quantization has none, so it does nothing here, without a word. Use SparseGPTModifier or WandaPruningModifier, or remove it.';
  if (name === 'GPTQModifier' && !booleanOf(body['requires_calibration_data'], true))
    return 'says that it needs no data: llm-compressor then gives it none, solves nothing and leaves the weights as they are, without a word. Remove requires_calibration_data.';
  const hasMappings = ['SmoothQuantModifier', 'LogarithmicEqualizationModifier', 'AWQModifier'].includes(name);
  if (hasMappings && Array.isArray(body['mappings']) && body['mappings'].length === 0)
    return 'has an empty list of mappings, so it scales nothing, without a word. Leave mappings out for those of the architecture, or give some.';
  return null;
}
