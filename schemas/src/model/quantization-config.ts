// quantization_config of a compressed-tensors checkpoint → scheme of every module. Reads our own and the real packages' files.
import type { ModelQuantization, QuantizationArgs, QuantizationScheme } from '../generated/plan.js';
import { encodedScheme } from '../encoded-weights.js';
import { readVptq } from './vptq-config.js';
import { compileTarget, targetRank } from './match-targets.js';
import type { NamedModule } from './match-targets.js';

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

export type QuantizationConfigResult = { quantization: ModelQuantization } | { error: string };

/** QuantizationArgs as a config.json holds them, with implied values made explicit; a sentence when they make no sense. */
function readArgs(value: unknown): QuantizationArgs | string | null {
  if (value === null || value === undefined) return null;
  if (!isObject(value)) return 'quantization args are not an object';
  const number = (name: string, otherwise: number | null): number | null => (typeof value[name] === 'number' ? value[name] : otherwise);
  const num_bits = number('num_bits', 8) as number;
  const group_size = number('group_size', null);
  const strategies: readonly QuantizationArgs['strategy'][] = ['tensor', 'channel', 'group', 'block', 'token', 'tensor_group', 'attn_head'];
  const implied = group_size === null ? 'tensor' : group_size > 0 ? 'group' : 'channel';
  const strategy = strategies.find((name) => name === String(value['strategy'] ?? implied).toLowerCase());
  if (strategy === undefined) return `the strategy ${JSON.stringify(value['strategy'])} is unknown`;
  const actorder = value['actorder'];
  return {
    num_bits,
    type: String(value['type'] ?? 'int').toLowerCase() === 'float' ? 'float' : 'int',
    symmetric: value['symmetric'] !== false,
    strategy,
    group_size: group_size !== null && group_size > 0 ? group_size : null,
    block_structure: Array.isArray(value['block_structure']) ? (value['block_structure'] as [number, number]) : null,
    dynamic: value['dynamic'] === 'local' ? 'local' : value['dynamic'] === true,
    actorder:
      actorder === 'group' || actorder === 'dynamic' || actorder === true
        ? 'group'
        : actorder === 'weight' || actorder === 'static'
          ? 'weight'
          : null,
    scale_dtype: typeof value['scale_dtype'] === 'string' ? value['scale_dtype'] : null,
    zp_dtype: typeof value['zp_dtype'] === 'string' ? value['zp_dtype'] : null,
    observer: typeof value['observer'] === 'string' ? value['observer'] : null,
    observer_kwargs: isObject(value['observer_kwargs']) ? (value['observer_kwargs'] as QuantizationArgs['observer_kwargs']) : {},
  };
}

const formats: readonly QuantizationScheme['format'][] = [
  'dense',
  'pack-quantized',
  'int-quantized',
  'float-quantized',
  'naive-quantized',
  'nvfp4-pack-quantized',
  'mxfp4-pack-quantized',
  'mxfp8-quantized',
];

interface Group {
  targets: string[];
  scheme: QuantizationScheme;
}

function readGroup(name: string, value: unknown, topFormat: unknown): Group | string {
  if (!isObject(value)) return `config_groups.${name} is not an object`;
  const targets = Array.isArray(value['targets']) ? value['targets'].map(String) : [];
  const parts: (QuantizationArgs | null)[] = [];
  for (const key of ['weights', 'input_activations', 'output_activations']) {
    const args = readArgs(value[key]);
    if (typeof args === 'string') return `config_groups.${name}.${key}: ${args}`;
    parts.push(args);
  }
  const format = formats.find((known) => known === (value['format'] ?? topFormat));
  if (format === undefined) return `the format ${JSON.stringify(value['format'] ?? topFormat)} of config_groups.${name} is unknown`;
  return {
    targets,
    scheme: { weights: parts[0] ?? null, input_activations: parts[1] ?? null, output_activations: parts[2] ?? null, format },
  };
}

/** Exact names first, then patterns in order of their text, then classes; the first hit wins. */
function schemeFor(module: NamedModule, groups: readonly Group[]): QuantizationScheme | null {
  const hits = groups.flatMap((group) =>
    group.targets.flatMap((target) => {
      const compiled = compileTarget(target);
      return 'matcher' in compiled && compiled.matcher(module) ? [{ target, rank: targetRank(target, module), scheme: group.scheme }] : [];
    }),
  );
  hits.sort((a, b) => a.rank - b.rank || (a.target < b.target ? -1 : a.target > b.target ? 1 : 0));
  return hits[0]?.scheme ?? null;
}

/** Blocks of 64 weights, end to end through the rows. `scale_dtype` tells double quantization from magnitudes in 32 bits. */
export const nf4Scheme = (hasDoubleQuantization: boolean): QuantizationScheme =>
  encodedScheme(
    'bitsandbytes',
    { num_bits: 4, type: 'float', symmetric: true, codebook: 'nf4', strategy: 'group', group_size: 64 },
    hasDoubleQuantization ? 'torch.uint8' : 'torch.float32',
  );

/** Which modules are stored in 4 bits bitsandbytes tells by their tensors alone. */
function readBitsAndBytes(config: Json, modules: readonly NamedModule[], tensorNames: readonly string[]): QuantizationConfigResult {
  const types = ['nf4', 'fp4'].filter((type) => tensorNames.some((name) => name.endsWith(`.quant_state.bitsandbytes__${type}`)));
  if (config['load_in_4bit'] !== true || types.join() !== 'nf4')
    return { error: 'the model is quantized with bitsandbytes otherwise than in nf4, which alone is read of its formats' };
  const states = new Set(tensorNames.filter((name) => name.endsWith('.weight.quant_state.bitsandbytes__nf4')));
  const scheme = nf4Scheme(config['bnb_4bit_use_double_quant'] === true);
  const isStored = ({ name }: NamedModule): boolean => states.has(`${name}.weight.quant_state.bitsandbytes__nf4`);
  return {
    quantization: {
      format: 'bitsandbytes',
      ignore: modules.filter((module) => module.class === 'Linear' && !isStored(module)).map(({ name }) => name),
      layers: Object.fromEntries(modules.filter(isStored).map(({ name }) => [name, scheme])),
    },
  };
}

export function readQuantizationConfig(
  config: unknown,
  modules: readonly NamedModule[],
  tensorNames: readonly string[] = [],
): QuantizationConfigResult {
  if (!isObject(config)) return { error: 'quantization_config is not an object' };
  if (config['quant_method'] === 'bitsandbytes') return readBitsAndBytes(config, modules, tensorNames);
  if (config['quant_method'] === 'vptq') return readVptq(config, modules);
  if (config['quant_method'] !== 'compressed-tensors')
    return {
      error: `the model is quantized with ${JSON.stringify(config['quant_method'])}, and of quantized models only those of compressed-tensors, bitsandbytes in nf4 and vptq are read. ${config['quant_method'] === 'fp8' ? 'Convert it to BF16 (for DeepSeek: inference/fp8_cast_bf16.py of DeepSeek-V3), remove quantization_config from its config.json, and name that folder' : 'Name the model that it was made from'}`,
    };
  const groups: Group[] = [];
  for (const [name, value] of Object.entries(isObject(config['config_groups']) ? config['config_groups'] : {})) {
    const group = readGroup(name, value, config['format']);
    if (typeof group === 'string') return { error: group };
    groups.push(group);
  }
  const ignore = Array.isArray(config['ignore']) ? config['ignore'].map(String) : [];
  const ignored = ignore.map(compileTarget);
  const layers: ModelQuantization['layers'] = {};
  for (const module of modules) {
    if (ignored.some((compiled) => 'matcher' in compiled && compiled.matcher(module))) continue;
    const scheme = schemeFor(module, groups);
    if (scheme !== null) layers[module.name] = scheme;
  }
  return { quantization: { format: String(config['format'] ?? 'dense'), ignore, layers } };
}
