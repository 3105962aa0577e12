// QuantizationArgs as a recipe or preset says them → explicit ones, with compressed-tensors 0.18's rules between the fields.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { levelsFacts, type Levels } from '../../../schemas/src/levels.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { changeTo } from '../recipe/change-to.js';
import { booleanOf, integerOf, mappingOf, textOf } from '../recipe/coerce.js';

export const refusal = (code: string, path: RecipePath, message: string, at: 'key' | 'value' = 'value'): Problem => ({
  code,
  severity: 'error',
  path,
  at,
  message,
});

/** Of two fields that exclude each other either may go: a choice, so never the preferred fix. */
export const removal = (path: RecipePath, field: string): ProblemFix => ({
  title: `Remove ${field}`,
  preferred: false,
  edits: [{ kind: 'remove', path: [...path, field] }],
});

/** What is written → what it means; two pairs are the same. */
export const actorders: ReadonlyMap<string, QuantizationArgs['actorder']> = new Map([
  ['static', 'weight'],
  ['weight', 'weight'],
  ['group', 'group'],
  ['dynamic', 'group'],
]);

/** Names under which torch knows them; with or without `torch.` before them. */
const torchDtypes: ReadonlySet<string> = new Set(
  'float16 half bfloat16 float32 float float64 double float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu uint8 uint16 uint32 uint64 int8 int16 short int32 int int64 long bool'.split(
    ' ',
  ),
);

export const isTorchDtype = (name: string): boolean => torchDtypes.has(name.replaceAll('torch.', ''));

const levelsNames = Object.keys(levelsFacts) as readonly Levels[];
const strategies: readonly QuantizationArgs['strategy'][] = ['tensor', 'channel', 'group', 'block', 'token', 'tensor_group', 'attn_head'];

/** QuantizationArgs with its cross-field rules; `path` is where the args stand, or the preset's name. */
export function expandArgs(
  args: Readonly<Record<string, unknown>>,
  path: RecipePath,
  isWeights: boolean,
  observerOverride: string | null,
  problems: Problem[],
): QuantizationArgs {
  const place = (key: string): RecipePath => (path.includes('config_groups') || path.includes('kv_cache_scheme') ? [...path, key] : path);
  const refuse = (key: string, message: string, instead?: string): void =>
    void problems.push({
      ...refusal('quantization-args-invalid', place(key), message),
      ...(instead === undefined || place(key) === path ? {} : { fixes: [changeTo(instead, place(key))] }),
    });
  const num_bits = integerOf(args['num_bits'], 8);
  const type = textOf(args['type'], 'int').toLowerCase() === 'float' ? 'float' : 'int';
  if (args['type'] !== undefined && !/^(int|float)$/i.test(textOf(args['type'], '')))
    refuse('type', `type is ${JSON.stringify(args['type'])}; it is int or float.`);
  if (type === 'int' && (num_bits < 1 || num_bits > 32)) refuse('num_bits', `num_bits is ${num_bits}; integers have 1 to 8 packed bits.`);
  if (type === 'float' && num_bits !== 8 && num_bits !== 4)
    refuse('num_bits', `num_bits is ${num_bits}; floats have 8 (FP8) or 4 (FP4) bits.`);
  const saidGroup = args['group_size'] === undefined || args['group_size'] === null ? null : integerOf(args['group_size'], 0);
  if (typeof args['group_size'] === 'string')
    refuse(
      'group_size',
      `group_size is the text ${JSON.stringify(args['group_size'])}; llm-compressor wants a number without quotes.`,
      numberIn(args['group_size']) ?? noneIn(args['group_size']),
    );
  const saidStrategy = args['strategy'] === undefined || args['strategy'] === null ? null : textOf(args['strategy'], '').toLowerCase();
  // Beside a strategy without groups llm-compressor takes 0 for nothing.
  if (saidGroup !== null && (saidGroup < -1 || (saidGroup === 0 && saidStrategy === null)))
    refuse('group_size', `group_size is ${saidGroup}; it is positive, or -1 for one scale per channel.`);
  const implied: QuantizationArgs['strategy'] = saidGroup === null ? 'tensor' : saidGroup > 0 ? 'group' : 'channel';
  const strategy = saidStrategy === null ? implied : (strategies.find((name) => name === saidStrategy) ?? null);
  if (strategy === null) refuse('strategy', `strategy is ${JSON.stringify(args['strategy'])}, which is none of ${strategies.join(', ')}.`);
  const grouped = strategy === 'group' || strategy === 'tensor_group';
  if (grouped && !(saidGroup !== null && saidGroup > 0))
    refuse('strategy', `strategy ${String(strategy)} needs a positive group_size, such as 128.`);
  if (!grouped && strategy !== null && saidGroup !== null && saidGroup > 0)
    refuse('group_size', `group_size ${saidGroup} goes with strategy group or tensor_group, not with ${strategy}. Remove one.`);
  const block_structure = blockStructure(args['block_structure']);
  if (block_structure === undefined)
    refuse('block_structure', `block_structure is ${JSON.stringify(args['block_structure'])}; it is two whole numbers: [rows, columns].`);
  const hasBlock = args['block_structure'] !== undefined && args['block_structure'] !== null;
  if ((strategy === 'block') !== hasBlock)
    refuse(
      'block_structure',
      strategy === 'block'
        ? 'strategy block needs block_structure, such as [128, 128].'
        : `block_structure goes with strategy block, not with ${String(strategy)}.`,
    );
  const saidDynamic = typeof args['dynamic'] === 'string' ? args['dynamic'].toLowerCase() : args['dynamic'];
  if (typeof saidDynamic === 'string' && saidDynamic !== 'local')
    refuse(
      'dynamic',
      `dynamic is the text ${JSON.stringify(args['dynamic'])}; it is true or false without quotes, or local.`,
      booleanIn(saidDynamic),
    );
  for (const key of ['scale_dtype', 'zp_dtype']) {
    const name = args[key];
    if (typeof name === 'string' && !isTorchDtype(name))
      refuse(
        key,
        `${key} is ${JSON.stringify(name)}, which is no dtype of torch; there are float16, bfloat16, float32, float8_e4m3fn, uint8, int8 and others.`,
      );
  }
  const dynamic = saidDynamic === 'local' ? 'local' : booleanOf(saidDynamic, false);
  if (strategy === 'token' && dynamic !== true)
    refuse('dynamic', 'strategy token needs dynamic: true; its scales are computed at run time.');
  if (dynamic !== false && strategy !== null && !['token', 'tensor', 'tensor_group', 'group'].includes(strategy))
    refuse('dynamic', `dynamic goes with the strategies token, tensor, tensor_group and group, not with ${strategy}.`);
  if (dynamic === 'local' && strategy !== 'tensor_group') refuse('dynamic', 'dynamic: local goes with strategy tensor_group only.');
  const saidOrder = args['actorder'];
  const actorder = saidOrder === true ? 'group' : typeof saidOrder === 'string' ? (actorders.get(saidOrder.toLowerCase()) ?? null) : null;
  if (typeof saidOrder === 'string' && !actorders.has(saidOrder.toLowerCase()))
    refuse('actorder', `actorder is ${JSON.stringify(saidOrder)}; it is static (weight), group (dynamic) or null.`, noneIn(saidOrder));
  if (actorder === 'group' && !grouped)
    refuse('actorder', `actorder ${JSON.stringify(saidOrder)} needs strategy group; here it is ${String(strategy)}.`);
  if (actorder !== null && !isWeights) refuse('actorder', 'actorder orders the columns of weights; activations have none. Remove it.');
  const levels = isWeights ? levelsNames.find((name) => name === args['levels']) : undefined;
  // Half of the largest would make most of three levels zero; the mean magnitude, BitNet's scale, is for weights that were trained for it (bench/quality/results.md).
  const usual = levels === undefined ? 'memoryless_minmax' : levelsFacts[levels].observer;
  const isUsual = observerOverride === null && typeof args['observer'] !== 'string' && args['observer_kwargs'] === undefined;
  const observer =
    dynamic === true
      ? null
      : (observerOverride?.toLowerCase() ??
        (typeof args['observer'] === 'string' ? args['observer'].toLowerCase() : dynamic === 'local' ? 'minmax' : usual));
  return {
    num_bits,
    type,
    symmetric: booleanOf(args['symmetric'], true),
    ...(levels === undefined ? {} : { levels }),
    strategy: strategy ?? 'tensor',
    group_size: grouped && saidGroup !== null ? saidGroup : null,
    block_structure: block_structure ?? null,
    dynamic,
    actorder,
    scale_dtype: typeof args['scale_dtype'] === 'string' ? args['scale_dtype'] : null,
    zp_dtype:
      booleanOf(args['symmetric'], true) && type === 'int'
        ? null
        : typeof args['zp_dtype'] === 'string'
          ? args['zp_dtype']
          : type === 'int'
            ? 'torch.int8'
            : null,
    observer: isWeights && observer !== null ? memorylessObserver(observer.replaceAll('-', '_')) : (observer?.replaceAll('-', '_') ?? null),
    observer_kwargs: isUsual && levels !== undefined ? { ...levelsFacts[levels].observer_kwargs } : scalarsOf(args['observer_kwargs']),
  };
}

const noneIn = (text: string): string | undefined => (/^none$/i.test(text) ? 'null' : undefined);
const numberIn = (text: string): string | undefined => (/^\s*-?\d+\s*$/.test(text) ? String(Number(text)) : undefined);
const booleanIn = (text: string): string | undefined =>
  /^(true|yes|on)$/.test(text) ? 'true' : /^(false|no|off)$/.test(text) ? 'false' : undefined;

/** Two positive whole numbers, or the same as text: 128x128. null: not said; undefined: something else. */
function blockStructure(value: unknown): [number, number] | null | undefined {
  if (value === undefined || value === null) return null;
  const parts: unknown[] =
    typeof value === 'string'
      ? /^\s*\d+\s*x\s*\d+\s*$/.test(value)
        ? value.split('x').map(Number)
        : []
      : Array.isArray(value)
        ? value
        : [];
  const [rows, columns] = parts;
  const isSize = (part: unknown): part is number => typeof part === 'number' && Number.isInteger(part) && part > 0;
  return parts.length === 2 && isSize(rows) && isSize(columns) ? [rows, columns] : undefined;
}

/** Weights are seen once: averaging observers become their memoryless twins, as llm-compressor does it. */
function memorylessObserver(name: string): string {
  if (name === 'minmax' || name === 'static_minmax') return 'memoryless_minmax';
  return name === 'mse' ? 'memoryless_mse' : name;
}

/** Numbers, texts and truths: no observer takes an argument of another kind, and PyYAML makes a null of a key without a value. */
const scalarsOf = (kwargs: unknown): QuantizationArgs['observer_kwargs'] =>
  Object.fromEntries(
    Object.entries(mappingOf(kwargs)).filter((entry): entry is [string, string | number | boolean] =>
      ['string', 'number', 'boolean'].includes(typeof entry[1]),
    ),
  );
