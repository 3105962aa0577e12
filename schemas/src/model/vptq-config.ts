// What config.json says of vectors that the vptq package reads (release 0.0.5): written for each layer, and read again. One package, one list of names.
import type { ModelQuantization, QuantizationScheme, Vectors } from '../generated/plan.js';
import { encodedScheme } from '../encoded-weights.js';
import type { NamedModule } from './match-targets.js';

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value > 0;

/** Bits of the index of a vector, both codebooks. */
export const indexBits = ({ num_centroids, num_res_centroids }: Vectors): number =>
  Math.ceil(Math.log2(num_centroids)) + (num_res_centroids > 0 ? Math.ceil(Math.log2(num_res_centroids)) : 0);

/** num_bits, which is whole everywhere, is the nearest to the bits of an index over its weights. */
export const vptqScheme = (vectors: Vectors): QuantizationScheme =>
  encodedScheme('vptq', {
    num_bits: Math.max(1, Math.round(indexBits(vectors) / vectors.vector_len)),
    type: 'float',
    symmetric: true,
    codebook: 'vptq',
    vectors,
    strategy: 'tensor',
    group_size: null,
  });

/** The arguments of the package's linear layer, by their names; -1 stands for none, and what is of outliers comes first in a pair. */
export function vptqLayerConfig(vectors: Vectors, { rows, columns }: { rows: number; columns: number }, hasBias: boolean): Json {
  const { vector_len, num_centroids, num_res_centroids, group_num, outlier_size, outlier_vector_len, outlier_num_centroids } = vectors;
  const hasOutliers = outlier_size > 0;
  return {
    in_features: columns,
    out_features: rows,
    vector_lens: [hasOutliers ? outlier_vector_len : -1, vector_len],
    num_centroids: [hasOutliers ? outlier_num_centroids : -1, num_centroids],
    num_res_centroids: [-1, num_res_centroids > 0 ? num_res_centroids : -1],
    group_num,
    group_size: (columns - outlier_size) / group_num,
    outlier_size,
    indices_as_float: false,
    is_indice_packed: true,
    enable_norm: vectors.enable_norm,
    enable_perm: vectors.enable_perm,
    vector_quant_dim: 'out',
    bias: hasBias,
  };
}

export function readVptq(config: Json, modules: readonly NamedModule[]): { quantization: ModelQuantization } | { error: string } {
  const given = isObject(config['config_for_layers']) ? config['config_for_layers'] : {};
  const shared = isObject(config['shared_layer_config']) ? config['shared_layer_config'] : {};
  const layers: ModelQuantization['layers'] = {};
  for (const { name } of modules) {
    const own = given[name] ?? shared[name.slice(name.lastIndexOf('.') + 1)];
    if (own === undefined) continue;
    const vectors = isObject(own) ? readLayer(own) : null;
    if (vectors === null)
      return {
        error: `the vptq layer ${name} is stored otherwise than with packed indices of vectors along the outputs, or its sizes make no sense`,
      };
    layers[name] = vptqScheme(vectors);
  }
  const ignore = modules.filter((module) => module.class === 'Linear' && layers[module.name] === undefined).map(({ name }) => name);
  return { quantization: { format: 'vptq', ignore, layers } };
}

function readLayer(layer: Json): Vectors | null {
  const pair = (name: string): [unknown, unknown] =>
    Array.isArray(layer[name]) ? [layer[name][0], layer[name][1]] : [undefined, undefined];
  const [[outlierLength, length], [outlierCount, count], [outlierRest, rest]] = [
    pair('vector_lens'),
    pair('num_centroids'),
    pair('num_res_centroids'),
  ];
  const { in_features: columns, out_features: rows, group_num, group_size, outlier_size = 0 } = layer;
  const sound =
    [columns, rows, group_num, group_size, length, count].every(isSize) &&
    (outlier_size === 0 || (isSize(outlier_size) && isSize(outlierLength) && isSize(outlierCount))) &&
    !isSize(outlierRest) &&
    layer['is_indice_packed'] === true &&
    layer['indices_as_float'] !== true &&
    (layer['vector_quant_dim'] ?? 'out') === 'out' &&
    Number(outlier_size) + Number(group_num) * Number(group_size) === columns;
  if (!sound) return null;
  return {
    vector_len: Number(length),
    num_centroids: Number(count),
    num_res_centroids: isSize(rest) ? rest : 0,
    group_num: Number(group_num),
    outlier_size: Number(outlier_size),
    outlier_vector_len: isSize(outlierLength) ? outlierLength : 4,
    outlier_num_centroids: isSize(outlierCount) ? outlierCount : 1,
    enable_norm: layer['enable_norm'] === true,
    enable_perm: layer['enable_perm'] === true,
    shape: [Number(rows), Number(columns)],
  };
}
