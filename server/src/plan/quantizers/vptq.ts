// The fields of VPTQModifier, and the scheme that they make: 2 bits per weight where the recipe says nothing.
import type { QuantizationScheme, Vectors, VptqPlan } from '../../../../schemas/src/generated/plan.js';
import { vptqScheme } from '../../../../schemas/src/model/vptq-config.js';
import { booleanOf, integerOf, numberOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const vptqPlan: QuantizerFields<VptqPlan> = (body) => ({
  enable_perm: booleanOf(body['enable_perm'], true),
  kiter: integerOf(body['kiter'], 100),
  ktol: numberOf(body['ktol'], 1e-4),
  kseed: integerOf(body['kseed'], 0),
  block_size: integerOf(body['block_size'], 128),
  dampening_frac: numberOf(body['dampening_frac'], 0.01),
});

/** Of outliers the package's kernels take vectors of 4 alone. The order stands in the file where groups or outliers are formed along it. */
function vectorsOf(body: Readonly<Record<string, unknown>>): Vectors {
  const [group_num, outlier_size] = [integerOf(body['group_num'], 1), integerOf(body['outlier_size'], 0)];
  return {
    vector_len: integerOf(body['vector_len'], 4),
    num_centroids: integerOf(body['num_centroids'], 256),
    num_res_centroids: integerOf(body['num_res_centroids'], 0),
    group_num,
    outlier_size,
    outlier_vector_len: 4,
    outlier_num_centroids: integerOf(body['outlier_num_centroids'], 4096),
    enable_norm: booleanOf(body['enable_norm'], true),
    enable_perm: booleanOf(body['enable_perm'], true) && (group_num > 1 || outlier_size > 0),
  };
}

export const vptqSchemeOf = (body: Readonly<Record<string, unknown>>): QuantizationScheme => vptqScheme(vectorsOf(body));
