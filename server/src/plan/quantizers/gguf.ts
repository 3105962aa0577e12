// GGUFModifier: which of llama.cpp's types each layer gets. The names, the mixes and what stands in for a type whose blocks do not divide the columns are those of
// llama-quantize (ggml-org/llama.cpp, src/llama-quant.cpp: llama_tensor_get_type and tensor_type_fallback).
import type { GgufPlan, LayerPlan, ModelDescription, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { ggufScheme, isGgufType, undividedScheme, type GgufType } from '../../../../schemas/src/gguf-scheme.js';
import { ggmlTypeNamed } from '../../../../schemas/src/model/gguf-types.js';
import { booleanOf, textOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

/** What of a file weighs a layer comes with the layer: resolve-imatrix.ts. */
export const ggufPlan: QuantizerFields<GgufPlan> = (body) => ({ importance: ownImportance(body), imatrix: null });

export const imatrixOf = (body: Readonly<Record<string, unknown>>): string | null => textOf(body['imatrix'], '') || null;

/** Importance from calibration rows, where no file gives it. */
export const ownImportance = (body: Readonly<Record<string, unknown>>): boolean =>
  booleanOf(body['importance'], false) && imatrixOf(body) === null;

/** A type of llama-quantize: the type of most tensors, and llama.cpp's number of the whole file. */
interface FileType {
  base: GgufType;
  number: number;
}

const fileTypes: Readonly<Record<string, FileType>> = {
  Q4_0: { base: 'Q4_0', number: 2 },
  Q4_1: { base: 'Q4_1', number: 3 },
  Q8_0: { base: 'Q8_0', number: 7 },
  Q5_0: { base: 'Q5_0', number: 8 },
  Q5_1: { base: 'Q5_1', number: 9 },
  Q2_K: { base: 'Q2_K', number: 10 },
  Q3_K_S: { base: 'Q3_K', number: 11 },
  Q3_K_M: { base: 'Q3_K', number: 12 },
  Q3_K_L: { base: 'Q3_K', number: 13 },
  Q4_K_S: { base: 'Q4_K', number: 14 },
  Q4_K_M: { base: 'Q4_K', number: 15 },
  Q5_K_S: { base: 'Q5_K', number: 16 },
  Q5_K_M: { base: 'Q5_K', number: 17 },
  Q6_K: { base: 'Q6_K', number: 18 },
  Q2_K_S: { base: 'Q2_K', number: 21 },
};
const aliases: Readonly<Record<string, string>> = { Q3_K: 'Q3_K_M', Q4_K: 'Q4_K_M', Q5_K: 'Q5_K_M' };

/** As llama-quantize reads a name: Q4_K is Q4_K_M. */
export const fileTypeName = (said: string): string => aliases[said] ?? said;
export const fileTypeNumber = (name: string): number | null => fileTypes[name]?.number ?? null;
export const defaultType = 'Q4_K_M';

/** What a modifier or one of its groups asks for; null: no type has that name. */
export interface GgufWish {
  /** A name of `fileTypes`, or a type where `pure`. */
  name: string;
  base: GgufType;
  /** No mix: every target in the type alone. */
  pure: boolean;
  importance: boolean;
}

export function ggufWish(said: string, pure: boolean, importance: boolean): GgufWish | null {
  if (pure && isGgufType(said)) return { name: said, base: said, pure, importance };
  const name = fileTypeName(said);
  const type = fileTypes[name];
  return type === undefined ? null : { name, base: type.base, pure, importance };
}

/** The type that is asked for a layer, and the one whose blocks divide its columns; null: no block does. */
export function ggufTypeOf(wish: GgufWish, layer: LayerPlan, model: ModelDescription): { asked: GgufType; type: GgufType | null } {
  const asked = wish.pure ? wish.base : mixedType(wish, layer, model);
  return { asked, type: fitting(asked, layer.columns) };
}

export function ggufSchemeOf(wish: GgufWish, layer: LayerPlan, model: ModelDescription): QuantizationScheme {
  const { asked, type } = ggufTypeOf(wish, layer, model);
  if (type === null) return undividedScheme;
  return ggufScheme(type, type === asked ? null : (asked as 'Q4_K'), null);
}

const standIns: Partial<Readonly<Record<GgufType, GgufType>>> = { Q2_K: 'Q4_0', Q3_K: 'Q4_0', Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' };

const divides = (type: GgufType, columns: number): boolean => columns % (ggmlTypeNamed(type)?.blockSize ?? 1) === 0;

function fitting(asked: GgufType, columns: number): GgufType | null {
  if (divides(asked, columns)) return asked;
  const instead = standIns[asked];
  return instead !== undefined && divides(instead, columns) ? instead : null;
}

/** Blocks whose v and down projections get more bits in the mixes _M: the first and last eighth, and every third between. */
const getsMoreBits = (block: number, n: number): boolean =>
  block < Math.floor(n / 8) || block >= Math.floor((7 * n) / 8) || (block - Math.floor(n / 8)) % 3 === 2;

function mixedType({ name, base, importance }: GgufWish, layer: LayerPlan, { architecture }: ModelDescription): GgufType {
  if (architecture === null) return base;
  const { num_hidden_layers: n, num_attention_heads, num_key_value_heads, embed_tokens, lm_head } = architecture;
  const isHead = layer.name === lm_head || (layer.name === embed_tokens && architecture.tie_word_embeddings);
  if (isHead) return base === 'Q8_0' || !divides(base, layer.columns) ? 'Q8_0' : 'Q6_K';
  if (layer.block === null) return base;
  const shared = num_attention_heads / num_key_value_heads;
  const early = layer.block < Math.floor(n / 8);
  switch (layer.role) {
    case 'v_proj': {
      const type = valueType(name, base, layer.block, n, shared);
      // Models of 80 blocks whose v is an eighth of q.
      return n === 80 && shared > 1 && (type === 'Q3_K' || type === 'Q4_K') ? 'Q5_K' : type;
    }
    case 'down_proj':
      switch (name) {
        case 'Q2_K':
          return 'Q3_K';
        case 'Q2_K_S':
          return early ? 'Q4_K' : base;
        case 'Q3_K_M':
          return layer.block < Math.floor(n / 16) ? 'Q5_K' : 'Q4_K';
        case 'Q3_K_L':
          return 'Q5_K';
        case 'Q4_K_M':
        case 'Q5_K_M':
          return getsMoreBits(layer.block, n) ? 'Q6_K' : base;
        case 'Q4_K_S':
          return early ? 'Q5_K' : base;
        case 'Q4_0':
        case 'Q5_0':
          return importance && early ? (name === 'Q4_0' ? 'Q4_1' : 'Q5_1') : base;
        default:
          return base;
      }
    case 'o_proj':
      return ({ Q2_K: 'Q3_K', Q3_K_M: 'Q4_K', Q3_K_L: 'Q5_K' } as Record<string, GgufType>)[name] ?? base;
    default:
      return base;
  }
}

function valueType(name: string, base: GgufType, block: number, n: number, shared: number): GgufType {
  switch (name) {
    case 'Q2_K':
      return shared >= 4 ? 'Q4_K' : 'Q3_K';
    case 'Q2_K_S':
      return shared >= 4 ? 'Q4_K' : base;
    case 'Q3_K_M':
      return block < 2 ? 'Q5_K' : 'Q4_K';
    case 'Q3_K_L':
      return 'Q5_K';
    case 'Q4_K_M':
    case 'Q5_K_M':
      return getsMoreBits(block, n) ? 'Q6_K' : base;
    case 'Q4_K_S':
      return block < 4 ? 'Q5_K' : base;
    default:
      return base;
  }
}
