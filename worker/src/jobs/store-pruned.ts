// A layer that is pruned and not quantized → its tensor in the shard, in the dtype that it had, and its numbers.
import type { NamedTensor } from '../checkpoint/formats/format.js';
import { reshape } from '../tensor/operations/storage.js';
import { measureEncoded } from '../report/layer-metrics.js';
import type { LayerToPrune, PrunedLayer } from './prune-layer.js';
import { pruningMetrics, sparsityProblems } from './sparsity.js';
import type { StoreLayerInput } from './store-layer.js';

export async function storePruned(
  input: StoreLayerInput,
  { layer, weight, hessian }: LayerToPrune,
  pruned: PrunedLayer,
  seconds: number,
): Promise<NamedTensor[]> {
  const tensor = reshape(pruned.weight, pruned.weight.shape);
  try {
    const pruning = await pruningMetrics(pruned.works, weight, tensor);
    const H = hessian?.hessian ?? null;
    const { findings } = pruned;
    const measured = { layer, W: weight, What: tensor, H, bytesAfter: tensor.bytes, seconds, findings, pruning };
    const metrics = await measureEncoded(measured, null, null, input.sidecar);
    input.onLayer(layer, metrics, [...pruned.problems, ...sparsityProblems(layer, pruned.works, pruning)]);
    return [{ name: `${layer.name}.weight`, tensor }];
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}
