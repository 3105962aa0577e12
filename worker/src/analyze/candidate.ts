// One layer with one candidate: its weight as a reader of the file would compute it, what it takes, and how far it moved.
import type { LayerPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { withoutLevels } from '../../../schemas/src/levels.js';
import { formats, quantizers, type GridPlan } from '../algorithms.js';
import { weightAsRead } from '../checkpoint/formats/floats.js';
import { weightBytes, type NamedTensor } from '../checkpoint/formats/format.js';
import type { Quantizer, SharedHessian } from '../quantizers/quantizer.js';
import { layerArgs } from '../quantizers/weight-observer.js';
import { measureLayer } from '../report/layer-metrics.js';
import { Sidecar } from '../report/sidecar.js';
import type { Tensor } from '../tensor/tensor.js';

/** The layer with another number of bits, every integer of them: strategy, groups and symmetry as the recipe says; its inputs stay as they are. */
export function withBits(layer: LayerPlan, num_bits: number): LayerPlan {
  const weights = layer.scheme?.weights;
  if (!layer.scheme || !weights) throw new Error(`${layer.name} has no scheme to vary.`);
  return {
    ...layer,
    scheme: { ...layer.scheme, format: 'pack-quantized', input_activations: null, weights: withoutLevels({ ...weights, num_bits }) },
  };
}

/** `keep` gets the tensors of the layer in a checkpoint, as long as it runs. The caller disposes `What`. */
export async function measureCandidate(
  layer: LayerPlan,
  weight: Tensor,
  hessian: SharedHessian | null,
  keep: ((stored: readonly NamedTensor[]) => Promise<void>) | null,
): Promise<{ metrics: LayerMetrics & { weight_mse: number }; What: Tensor }> {
  const plan = layer.quantizer;
  const format = formats[layer.scheme?.format ?? ''];
  if (!plan || !format) throw runFailure.planInvalid(`${layer.name} has no quantizer or no format that this version knows`);
  const began = performance.now();
  const { findings, levels, ...chosen } = await (quantizers[plan.name as GridPlan['name']] as Quantizer<QuantizerPlan>).quantize({
    layer,
    plan,
    weight,
    fused: [],
    hessian,
  });
  using q = chosen.q;
  using scale = chosen.scale;
  using zeroPoint = chosen.zeroPoint;
  using gIdx = chosen.gIdx;
  levels?.scale.dispose();
  levels?.global.dispose();
  const quantized = { q, scale, zeroPoint, levels: null, gIdx, input: null };
  const stored = format.store(layer, quantized);
  const bytesAfter = weightBytes(stored);
  try {
    await keep?.(stored);
  } finally {
    for (const { tensor } of stored) tensor.dispose();
  }
  const args = layerArgs(layer);
  const What = weightAsRead(quantized, args);
  try {
    const seconds = (performance.now() - began) / 1000;
    // The picture of a run is not drawn here: the arrays of the measurement are dropped.
    const sidecar = new Sidecar('');
    const metrics = await measureLayer(
      {
        layer,
        grid: { args, scale, zeroPoint, gIdx },
        W: weight,
        What,
        H: hessian?.hessian ?? null,
        bytesAfter,
        seconds,
        findings,
        pruning: null,
      },
      sidecar,
      false,
    );
    const { weight_mse } = metrics;
    if (weight_mse === null) throw new Error(`The weight of ${layer.name} was not compared.`);
    return { metrics: { ...metrics, weight_mse }, What };
  } catch (error) {
    What.dispose();
    throw error;
  }
}
