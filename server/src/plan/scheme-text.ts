// A scheme in a few words.
import { encodedText } from '../../../schemas/src/encoded-weights.js';
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';

/** Short text of a scheme, such as `int4 g128 sym, int8 token inputs`. */
export function schemeText(scheme: QuantizationScheme): string {
  const args = (value: QuantizationArgs): string =>
    encodedText(value) ??
    `${value.type === 'int' ? 'int' : 'fp'}${value.num_bits}${value.levels === undefined ? '' : ` ${value.levels}`} ${value.strategy === 'group' || value.strategy === 'tensor_group' ? `g${value.group_size ?? 0}` : value.strategy}${value.symmetric ? '' : ' asym'}`;
  if (scheme.weights === null) return 'unquantized';
  return (
    args(scheme.weights) +
    (scheme.input_activations === null
      ? ''
      : `, inputs ${args(scheme.input_activations)}${scheme.input_activations.dynamic === false ? ' static' : ''}`)
  );
}
