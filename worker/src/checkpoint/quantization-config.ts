// The quantization_config of config.json, and its insertion into the model's own text, of which everything else stays as it was.
import type { BitsAndBytesPlan, LayerPlan, QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { vptqLayerConfig } from '../../../schemas/src/model/vptq-config.js';
import { runFailure } from '../../../schemas/src/run-failure.js';

/** The release of compressed-tensors whose layout is written. */
const compressedTensorsVersion = '0.18.0';

interface ConfigGroup {
  targets: string[];
  format: QuantizationScheme['format'];
  weights: object | null;
  input_activations: object | null;
  output_activations: object | null;
}

/** `stored`: the layers whose weights the checkpoint holds quantized; all other Linear modules are listed in `ignore`. `biased`: modules with a bias. */
export function makeQuantizationConfig(
  layers: readonly LayerPlan[],
  stored: readonly LayerPlan[],
  biased: ReadonlySet<string> = new Set(),
): object {
  const [first] = stored;
  if (first?.quantizer?.name === 'bitsandbytes') return bitsandbytesConfig(first.quantizer, layers, stored);
  if (first?.quantizer?.name === 'vptq') return vptqConfig(layers, stored, biased);
  const groups = groupByScheme(layers, stored);
  const formats = new Set(groups.map((group) => group.format));
  const [format = 'dense'] = formats;
  const isTarget = new Set(stored.map((layer) => layer.name));
  const kinds = new Set(stored.map((layer) => layer.kind));
  return {
    quant_method: 'compressed-tensors',
    version: compressedTensorsVersion,
    format: formats.size > 1 ? 'mixed-precision' : format,
    quantization_status: 'compressed',
    global_compression_ratio: null,
    config_groups: Object.fromEntries(groups.map((group, index) => [`group_${index}`, group])),
    ignore: layers
      .filter((layer) => !isTarget.has(layer.name) && (layer.kind === 'Linear' || kinds.has(layer.kind)))
      .map((layer) => layer.name),
    kv_cache_scheme: null,
    sparsity_config: {},
    transform_config: {},
  };
}

/** What transformers' BitsAndBytesConfig writes; modules that it is not to turn into 4 bits are named. */
function bitsandbytesConfig(plan: BitsAndBytesPlan, layers: readonly LayerPlan[], stored: readonly LayerPlan[]): object {
  const isStored = new Set(stored.map(({ name }) => name));
  return {
    quant_method: 'bitsandbytes',
    load_in_4bit: true,
    load_in_8bit: false,
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: plan.bnb_4bit_use_double_quant,
    bnb_4bit_compute_dtype: plan.bnb_4bit_compute_dtype,
    bnb_4bit_quant_storage: 'uint8',
    llm_int8_skip_modules: layers.filter(({ name, kind }) => kind === 'Linear' && !isStored.has(name)).map(({ name }) => name),
  };
}

/** What transformers' VptqConfig and the vptq package read: each layer by its name. */
function vptqConfig(layers: readonly LayerPlan[], stored: readonly LayerPlan[], biased: ReadonlySet<string>): object {
  const isStored = new Set(stored.map(({ name }) => name));
  return {
    quant_method: 'vptq',
    config_for_layers: Object.fromEntries(
      stored.flatMap((layer) => {
        const vectors = layer.scheme?.weights?.vectors;
        return vectors === undefined ? [] : [[layer.name, vptqLayerConfig(vectors, layer, biased.has(layer.name))]];
      }),
    ),
    shared_layer_config: {},
    modules_to_not_convert: layers.filter(({ name, kind }) => kind === 'Linear' && !isStored.has(name)).map(({ name }) => name),
  };
}

function groupByScheme(layers: readonly LayerPlan[], stored: readonly LayerPlan[]): ConfigGroup[] {
  const groups = new Map<string, { scheme: QuantizationScheme; members: LayerPlan[] }>();
  for (const layer of stored) {
    if (layer.scheme === null) continue;
    const key = JSON.stringify(layer.scheme);
    const group = groups.get(key) ?? { scheme: layer.scheme, members: [] };
    group.members.push(layer);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ scheme, members }) => ({
    targets: targetsOf(members, stored),
    format: scheme.format,
    weights: argsInConfig(scheme.weights),
    input_activations: argsInConfig(scheme.input_activations),
    output_activations: argsInConfig(scheme.output_activations),
  }));
}

/** A class name where the group holds all quantized modules of that class, which servers handle best (fused and expert layers); else names. */
function targetsOf(members: readonly LayerPlan[], stored: readonly LayerPlan[]): string[] {
  const kinds = [...new Set(members.map((layer) => layer.kind))];
  return kinds.flatMap((kind) => {
    const ofKind = members.filter((layer) => layer.kind === kind);
    const isWhole = kind !== 'Other' && stored.filter((layer) => layer.kind === kind).length === ofKind.length;
    return isWhole ? [kind] : ofKind.map((layer) => layer.name);
  });
}

/**
 * scale_dtype and zp_dtype are left out where they are implied, because older readers refuse keys they do not know; NVFP4 and MX are known by
 * scale_dtype. actorder weight leaves nothing behind in the file, so null is written, which every reader takes.
 */
function argsInConfig(args: QuantizationArgs | null): object | null {
  if (args === null) return null;
  const { num_bits, type, symmetric, strategy, group_size, block_structure, dynamic, actorder, observer, observer_kwargs, scale_dtype } =
    args;
  return {
    num_bits,
    type,
    symmetric,
    strategy,
    group_size,
    block_structure,
    dynamic,
    actorder: actorder === 'group' && strategy === 'group' ? 'group' : null,
    observer,
    observer_kwargs,
    ...(type === 'float' && scale_dtype !== null ? { scale_dtype, zp_dtype: null } : {}),
  };
}

/**
 * Adds entries to the text of config.json without rewriting the rest: a number such as 10000.0 keeps its spelling, which typed readers
 * of the config insist on. An entry that is there already is replaced.
 */
export function addToConfig(file: string, text: string, entries: Readonly<Record<string, unknown>>): string {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw runFailure.fileUnreadable(file, error instanceof Error ? error.message : String(error));
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw runFailure.fileUnreadable(file, 'it is not a JSON object');
  let result = text;
  const added: string[] = [];
  for (const [key, value] of Object.entries(entries)) {
    if (!(key in config)) added.push(`  ${JSON.stringify(key)}: ${indented(value)}`);
    else if (typeof value === 'boolean') result = result.replace(new RegExp(`("${key}"\\s*:\\s*)(true|false)`), `$1${value}`);
    else throw runFailure.fileUnreadable(file, `it has an entry ${key} already`);
  }
  if (added.length === 0) return result;
  const end = result.lastIndexOf('}');
  const before = result.slice(0, end).trimEnd();
  return `${before}${before.endsWith('{') ? '' : ','}\n${added.join(',\n')}\n}\n`;
}

const indented = (value: unknown): string => JSON.stringify(value, null, 2).replaceAll('\n', '\n  ');
