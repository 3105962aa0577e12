// Names of modules in the order in which a model holds them, which is what a list of sparsities counts by; in a file they may stand in any other.
import { roleOrder } from '../../../../schemas/src/role-order.js';

/** Parts of one module of a Llama, in the order of their making. */
const parts: readonly string[] = ['model', 'embed_tokens', 'layers', 'self_attn', 'mlp', ...roleOrder, 'norm', 'lm_head'];

export const inModelOrder = (names: readonly string[]): string[] => [...names].sort(compareNames);

/** A module before what stands in it; numbers by their size; names that are not known where they are. */
function compareNames(a: string, b: string): number {
  const [left, right] = [a.split('.'), b.split('.')];
  const at = left.findIndex((part, index) => part !== right[index]);
  if (at < 0) return left.length - right.length;
  const [own, other] = [left[at] ?? '', right[at]];
  if (other === undefined) return 1;
  const numbers = [Number(own), Number(other)] as const;
  if (numbers.every(Number.isInteger)) return numbers[0] - numbers[1];
  const places = [parts.indexOf(own), parts.indexOf(other)] as const;
  return places.every((place) => place >= 0) ? places[0] - places[1] : 0;
}
