// A type of GGUF as a scheme: what plan, checks and reports say of a layer in its blocks.
import { encodedScheme } from './encoded-weights.js';
import type { QuantizationArgs, QuantizationScheme } from './generated/plan.js';

export type GgufType = NonNullable<QuantizationArgs['gguf_type']>;
type Kind = Pick<QuantizationArgs, 'num_bits' | 'type' | 'symmetric' | 'group_size'>;

/** Bits of a code, whether zero lies in the middle, and the weights under one scale. Sizes of blocks: model/gguf-types.ts. */
const kinds: Readonly<Record<GgufType, Kind>> = {
  Q8_0: { num_bits: 8, type: 'int', symmetric: true, group_size: 32 },
  Q4_0: { num_bits: 4, type: 'int', symmetric: true, group_size: 32 },
  Q4_1: { num_bits: 4, type: 'int', symmetric: false, group_size: 32 },
  Q5_0: { num_bits: 5, type: 'int', symmetric: true, group_size: 32 },
  Q5_1: { num_bits: 5, type: 'int', symmetric: false, group_size: 32 },
  Q2_K: { num_bits: 2, type: 'int', symmetric: false, group_size: 16 },
  Q3_K: { num_bits: 3, type: 'int', symmetric: true, group_size: 16 },
  Q4_K: { num_bits: 4, type: 'int', symmetric: false, group_size: 32 },
  Q5_K: { num_bits: 5, type: 'int', symmetric: false, group_size: 32 },
  Q6_K: { num_bits: 6, type: 'int', symmetric: true, group_size: 16 },
  F32: { num_bits: 32, type: 'float', symmetric: true, group_size: null },
  F16: { num_bits: 16, type: 'float', symmetric: true, group_size: null },
  BF16: { num_bits: 16, type: 'float', symmetric: true, group_size: null },
};

export const isGgufType = (name: string): name is GgufType => Object.hasOwn(kinds, name);

/** `asked`: the type in whose place it stands; `heads`: of a file, whose rows are in pairs. */
export function ggufScheme(type: GgufType, asked: QuantizationArgs['gguf_asked'] | null, heads: number | null): QuantizationScheme {
  const kind = kinds[type];
  return encodedScheme('gguf', {
    ...kind,
    gguf_type: type,
    ...(asked === null || asked === undefined ? {} : { gguf_asked: asked }),
    ...(heads === null ? {} : { gguf_heads: heads }),
    strategy: kind.group_size === null ? 'tensor' : 'group',
  });
}

/** A layer that GGUF's blocks do not divide: it stays in its own dtype. */
export const undividedScheme: QuantizationScheme = { weights: null, input_activations: null, output_activations: null, format: 'gguf' };
