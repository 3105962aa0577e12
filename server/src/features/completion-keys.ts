// Keys that may stand at the cursor, with what follows them as a snippet.
import schemePresets from '../../../schemas/scheme-presets.json';
import { literal, type CompletionEntry } from './completion-entry.js';
import { fieldDocumentation } from './field-documentation.js';
import type { RecipeCursor } from './recipe-cursor.js';
import { firstSaid, keyPatternsOf, keysOf, typesOf, type KeyInfo, type PlacedSchema, type SchemaFiles } from './schema-lookup.js';

/** Fields that only llm-compressor itself writes; known to hover, never offered. */
const bookkeeping = new Set(['index', 'start', 'end', 'update', 'requires_calibration_data', 'calibration_function']);

export function completeKeys(files: SchemaFiles, schemas: readonly PlacedSchema[], cursor: RecipeCursor): CompletionEntry[] {
  const named = keysOf(files, schemas)
    .filter(({ key }) => !key.endsWith('_') && !bookkeeping.has(key))
    .map((info) => (info.key.endsWith('Modifier') ? modifierEntry(info, cursor.inFlow) : keyEntry(info, cursor.inFlow)));
  const patterned = keyPatternsOf(schemas).flatMap((pattern) => patternEntries(pattern));
  return [...named, ...patterned, ...freeKeys(cursor)].filter(({ label }) => !cursor.siblings.includes(label));
}

function keyEntry({ key, value, required }: KeyInfo, inFlow: boolean): CompletionEntry {
  const types = typesOf(value);
  const isMapping = types.includes('object') && !types.includes('string');
  const isList = types.includes('array') && !types.includes('string');
  const body = isMapping ? (inFlow ? ' {$0}' : '\n  $0') : isList ? ' [$0]' : ' $0';
  const detail = [types.filter((type) => type !== 'null').join(' or '), ...(required ? ['required'] : [])].join(', ');
  return { label: key, kind: 'key', detail, documentation: fieldDocumentation(key, value), snippet: `${key}:${body}`, askAgain: true };
}

/** What a modifier nearly always has. */
const modifierBodies: Record<string, readonly string[]> = {
  QuantizationModifier: ['scheme: ${1:W8A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  GPTQModifier: ['scheme: ${1:W4A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  HQQModifier: ['scheme: ${1:W4A16_ASYM}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  GGUFModifier: ['type: ${1:Q4_K_M}'],
  BitsAndBytesModifier: ['bnb_4bit_quant_type: ${1:nf4}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  VPTQModifier: ['vector_len: ${1:4}', 'num_centroids: ${2:256}', 'targets: [${3:Linear}]', 'ignore: [${4:lm_head}]'],
  BeaconModifier: ['scheme: ${1:W4A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  COMQModifier: ['scheme: ${1:W4A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  GPFQModifier: ['scheme: ${1:W4A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  QronosModifier: ['scheme: ${1:W4A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  SmoothQuantModifier: ['smoothing_strength: ${1:0.5}'],
  AWQModifier: ['duo_scaling: ${1:true}'],
  AutoRoundModifier: ['scheme: ${1:W4A16}', 'targets: [${2:Linear}]', 'ignore: [${3:lm_head}]'],
  SparseGPTModifier: ['sparsity: ${1:0.5}', "mask_structure: '${2:2:4}'", 'targets: [${3:Linear}]', "ignore: ['${4:re:.*lm_head}']"],
  WandaPruningModifier: ['sparsity: ${1:0.5}', "mask_structure: '${2:2:4}'", 'targets: [${3:Linear}]', "ignore: ['${4:re:.*lm_head}']"],
  MagnitudePruningModifier: ['targets: [${1:Linear}]', 'init_sparsity: ${2:0.0}', 'final_sparsity: ${3:0.5}'],
  ConstantPruningModifier: ['targets: [${1:Linear}]'],
  REAPPruningModifier: ['sparsity: ${1:0.25}'],
  QuIPModifier: ['rotations: [${1:v}]', 'transform_type: ${2:random-hadamard}'],
  SpinQuantModifier: ['rotations: [${1:R1, R2}]'],
  DuQuantModifier: ['rotations: [${1:R1, R2}]'],
  LowRankResidualModifier: ['rank: ${1:16}', 'ignore: [${2:lm_head}]'],
  OutlierSplitModifier: ['threshold: ${1:6.0}', 'ignore: [${2:lm_head}]'],
  BiasCorrectionModifier: ['targets: [${1:Linear}]', 'ignore: [${2:lm_head}]'],
  VarianceCorrectionModifier: ['statistic: ${1:weights}', 'ignore: [${2:lm_head}]'],
  HadamardModifier: ['rotations: [${1:R1, R2}]'],
  LogarithmicEqualizationModifier: ['smoothing_strength: ${1:0.5}'],
};

function modifierEntry({ key, value }: KeyInfo, inFlow: boolean): CompletionEntry {
  const lines = modifierBodies[key] ?? ['$0'];
  return {
    label: key,
    kind: 'modifier',
    detail: 'modifier',
    documentation: firstSaid(value, 'description') ?? '',
    snippet: inFlow ? `${key}: {${lines.join(', ')}}` : `${key}:\n  ${lines.join('\n  ')}`,
  };
}

/** Keys of which only the end is fixed; llm-compressor takes nothing that does not end so. */
function patternEntries(pattern: string): CompletionEntry[] {
  if (pattern === '_stage$')
    return [
      {
        label: 'quant_stage',
        kind: 'key',
        detail: 'stage',
        documentation: 'A stage of the recipe. Its name is free but must end with `_stage`.',
        snippet: 'quant_stage:\n  quant_modifiers:\n    $0',
        askAgain: true,
      },
    ];
  if (pattern === '_modifiers$')
    return [
      {
        label: 'quant_modifiers',
        kind: 'key',
        detail: 'modifiers',
        documentation: 'Modifiers by name, applied from top to bottom. The name is free but must end with `_modifiers`.',
        snippet: 'quant_modifiers:\n  $0',
        askAgain: true,
      },
    ];
  return [];
}

/** Mappings whose keys are names of the user's choice, or presets. */
function freeKeys({ path, siblings, inFlow }: RecipeCursor): CompletionEntry[] {
  const last = path.at(-1);
  if (last === 'config_groups') {
    const name = `group_${siblings.length}`;
    const lines = ['targets: [${1:Linear}]', 'weights: {num_bits: ${2:4}, strategy: ${3:group}, group_size: ${4:128}}'];
    const documentation = 'A scheme of its own for some layers. The name is free.';
    const snippet = inFlow ? `${name}: {${lines.join(', ')}}` : `${name}:\n  ${lines.join('\n  ')}`;
    return [{ label: name, kind: 'key', detail: 'group', documentation, snippet }];
  }
  if (last === 'scheme')
    return Object.entries(schemePresets).map(([preset, { description }]) => ({
      label: preset,
      kind: 'preset',
      detail: description,
      snippet: `${literal(preset)}: [\${1:Linear}]`,
    }));
  return [];
}
