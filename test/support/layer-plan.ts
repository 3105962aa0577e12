// Layers of a plan for tests of single stages: every field is there, and a test names those that it is about.
import type { LayerPlan, QuantizationArgs } from '../../schemas/src/generated/plan.js';

/** Symmetric integers of 8 bits per channel, without anything that is optional. */
export const weightArgs = (changes: Partial<QuantizationArgs> = {}): QuantizationArgs => ({
  num_bits: 8,
  type: 'int',
  symmetric: true,
  strategy: 'channel',
  group_size: null,
  block_structure: null,
  dynamic: false,
  actorder: null,
  scale_dtype: null,
  zp_dtype: null,
  observer: 'memoryless_minmax',
  observer_kwargs: {},
  ...changes,
});

/** One linear of F32 weights; without `weights` it has no scheme. */
export function layerPlan({ weights, ...changes }: Partial<LayerPlan> & { weights?: Partial<QuantizationArgs> }): LayerPlan {
  const name = changes.name ?? 'model.layers.0.mlp.up_proj';
  return {
    name,
    tensor: `${name}.weight`,
    kind: 'Linear',
    rows: 4,
    columns: 8,
    dtype: 'F32',
    block: null,
    role: name.slice(name.lastIndexOf('.') + 1),
    scheme: weights ? { weights: weightArgs(weights), input_activations: null, output_activations: null, format: 'pack-quantized' } : null,
    quantizer: null,
    tied_to: null,
    ...changes,
  };
}
