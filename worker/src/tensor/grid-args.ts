// QuantizationArgs of a scheme → the options of the native operations that quantize with them, and what this version has operations for.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { Levels } from '../../../schemas/src/levels.js';

/** What a code can stand for: integers of 1 to 8 bits, E4M3 (float, 8) or E2M1 (float, 4). */
export interface GridArgs {
  /** int where it is left out. */
  type?: 'int' | 'float';
  num_bits: number;
  symmetric: boolean;
  /** Which of the integers are codes; left out: every one. */
  levels?: Levels;
  /** Scales are powers of two (MXFP4, MXFP8). */
  mx?: boolean;
}

export interface WeightArgs extends GridArgs {
  strategy: 'tensor' | 'channel' | 'group' | 'tensor_group' | 'block';
  /** 0 unless strategy is group or tensor_group. */
  group_size: number;
  /** Shape of a block, with strategy block. */
  block_rows?: number;
  block_columns?: number;
}

/** Groups of 32 floats under a power of two: MXFP4, MXFP8. */
const isMx = ({ type, group_size, scale_dtype }: QuantizationArgs): boolean =>
  type === 'float' && group_size === 32 && (scale_dtype ?? '').endsWith('uint8');

/** Groups of 16 under an FP8 scale and one global scale: NVFP4. */
export const isTwoLevel = ({ type, num_bits, strategy, group_size, scale_dtype }: QuantizationArgs): boolean =>
  type === 'float' && num_bits === 4 && strategy === 'tensor_group' && group_size === 16 && (scale_dtype ?? '').endsWith('float8_e4m3fn');

export function gridArgs(args: QuantizationArgs): GridArgs {
  const { type, num_bits, symmetric, levels } = args;
  return { type, num_bits, symmetric, mx: isMx(args), ...(levels === undefined ? {} : { levels }) };
}

/** Null where there is no operation for such weights. */
export function weightArgs(args: QuantizationArgs | null | undefined): WeightArgs | null {
  if (!args || !isGrid(args)) return null;
  const { strategy } = args;
  if (strategy === 'token' || strategy === 'attn_head') return null;
  const [block_rows = 0, block_columns = 0] = args.block_structure ?? [];
  return { ...gridArgs(args), strategy, group_size: args.group_size ?? 0, block_rows, block_columns };
}

/** True where there are operations for inputs of this kind. */
export function areInputsKnown(args: QuantizationArgs): boolean {
  if (!isGrid(args)) return false;
  if (args.dynamic === 'local') return isTwoLevel(args);
  if (args.dynamic === false) return args.strategy === 'tensor' && !isMx(args);
  return args.strategy === 'token' || args.strategy === 'tensor' || (args.strategy === 'group' && args.type === 'float');
}

/** Integers of 1 to 8 bits; FP8; FP4 in the two forms that are stored packed. */
function isGrid(args: QuantizationArgs): boolean {
  const { type, num_bits, symmetric, strategy, scale_dtype } = args;
  if (type === 'int') return num_bits <= 8 && strategy !== 'block' && strategy !== 'tensor_group';
  if (!symmetric) return false;
  if (isMx(args)) return strategy === 'group' && (num_bits === 4 || num_bits === 8);
  return num_bits === 8 ? strategy !== 'tensor_group' && scale_dtype === null : isTwoLevel(args);
}
