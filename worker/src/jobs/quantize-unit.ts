// One unit's layers: weights and statistics → the tensors of its shard, and the numbers of each layer.
import type { LayerPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { encoderOf, quantizers, sparseQuantizers, type GridPlan } from '../algorithms.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { fusedWith } from '../quantizers/fused-linears.js';
import { disposeQuantized, type QuantizedWeight, type Quantizer, type QuantizerInput } from '../quantizers/quantizer.js';
import { HessianFactors } from '../quantizers/shared-hessian.js';
import { summary } from '../tensor/operations/metrics.js';
import type { Tensor } from '../tensor/tensor.js';
import { clipLayer, type LayerClip } from './clip-layer.js';
import type { PruningOf } from './layer-jobs.js';
import { pruneLayer, type PrunedLayer } from './prune-layer.js';
import { storeEncoded, storeLayer, type StoreLayerInput } from './store-layer.js';
import { storePruned } from './store-pruned.js';

export interface QuantizeUnitInput extends StoreLayerInput {
  layers: readonly LayerPlan[];
  pruning: readonly PruningOf[];
}

/** Name under which a layer's weight is loaded: a tied head has the tensor of the embedding. */
const loadedName = (layer: LayerPlan): string => layer.tensor;

/** Answers the new tensors; the caller disposes them. */
export async function quantizeUnit(input: QuantizeUnitInput): Promise<NamedTensor[]> {
  const tensors: NamedTensor[] = [];
  try {
    const shared = input.statistics?.sharedInputs() ?? [];
    const alone = input.layers.filter((layer) => !shared.some((modules) => modules.includes(layer.name))).map((layer) => [layer.name]);
    for (const modules of [...shared, ...alone]) tensors.push(...(await quantizeSharedInput(input, modules)));
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

async function quantizeSharedInput(input: QuantizeUnitInput, modules: readonly string[]): Promise<NamedTensor[]> {
  const layers = input.layers.filter((layer) => modules.includes(layer.name));
  const [first] = layers;
  const observed = first ? (input.statistics?.takeHessian(first.name) ?? null) : null;
  using hessian = observed && new HessianFactors(observed.hessian, observed.cross, observed.seen);
  if (first && observed) await checkHessian(first, observed.hessian);
  const tensors: NamedTensor[] = [];
  const pruned = new Map<string, PrunedLayer>();
  const clips: LayerClip[] = [];
  try {
    for (const layer of layers) {
      const began = performance.now();
      const weight = input.weights.tensor(loadedName(layer));
      const own = await pruneLayer(input.pruning, { layer, weight, hessian });
      if (own === null) continue;
      pruned.set(layer.name, own);
      if (hasScheme(layer)) continue;
      await input.onRead?.(layer, own.weight, null);
      tensors.push(...(await storePruned(input, { layer, weight, hessian }, own, (performance.now() - began) / 1000)));
    }
    const weightOf = (layer: LayerPlan): Tensor => pruned.get(layer.name)?.weight ?? input.weights.tensor(loadedName(layer));
    const quantized = layers.filter(hasScheme);
    for (const layer of quantized) clips.push(await clipLayer(input.transforms, layer, weightOf(layer), observed?.hessian ?? null));
    const inputs = quantized.map((layer, index): LayerToQuantize => {
      const clip = clips[index]!;
      const own = pruned.get(layer.name) ?? null;
      return {
        layer,
        plan: planOf(layer),
        original: input.weights.tensor(loadedName(layer)),
        weight: clip.weight ?? weightOf(layer),
        clip,
        pruned: own,
        zeros: own?.zeros ?? null,
        fused: fusedWeights(input, layer, weightOf),
        hessian,
      };
    });
    for (const set of setsOf(inputs)) tensors.push(...(await quantizeSet(input, set)));
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  } finally {
    for (const { weight } of clips) weight?.dispose();
    for (const own of pruned.values()) own[Symbol.dispose]();
  }
}

const hasScheme = (layer: LayerPlan): boolean => (layer.scheme?.weights ?? null) !== null;

/** What is quantized is the weight that was pruned and cut; it is measured against the one before. */
interface LayerToQuantize extends QuantizerInput {
  original: Tensor;
  clip: LayerClip;
  pruned: PrunedLayer | null;
}

/** Which linears are quantized in one go: those of one quantizer, where it has sets; with zeros to keep each by itself. */
function setsOf(inputs: readonly LayerToQuantize[]): LayerToQuantize[][] {
  const names = new Set(inputs.map(({ plan }) => plan.name));
  const sets = [...names].flatMap((name) => {
    const ofName = inputs.filter(({ plan }) => plan.name === name);
    if (encoderOf(ofName[0]!.plan) !== null) return ofName.map((one) => [one]);
    const sparse = ofName.filter(({ zeros }) => zeros).map((one) => [one]);
    const dense = ofName.filter(({ zeros }) => !zeros);
    return [...sparse, ...(quantizerOf(ofName[0]!.plan).together?.sets(dense) ?? dense.map((one) => [one]))];
  });
  return sets.sort(([a], [b]) => inputs.indexOf(a!) - inputs.indexOf(b!));
}

function planOf({ name, quantizer }: LayerPlan): QuantizerPlan {
  if (!quantizer) throw runFailure.planInvalid(`${name} has no quantizer that this version knows`);
  return quantizer;
}

/** The table has for each name the quantizer that takes its plan; what encodes has none, and is taken layer by layer. */
const quantizerOf = (plan: QuantizerPlan): Quantizer => quantizers[plan.name as GridPlan['name']] as Quantizer;

/** As the quantizer goes about a layer whose zeros are to stay, where it moves weights. */
function quantizeOne(input: QuantizerInput): Promise<QuantizedWeight> {
  const sparse = sparseQuantizers[input.plan.name] as Quantizer['quantize'] | undefined;
  return input.zeros && sparse ? sparse(input) : quantizerOf(input.plan).quantize(input);
}

async function quantizeSet(input: QuantizeUnitInput, set: readonly LayerToQuantize[]): Promise<NamedTensor[]> {
  const [first] = set;
  if (first === undefined) return [];
  const began = performance.now();
  const encoder = encoderOf(first.plan);
  if (encoder !== null) {
    const encoded = await encoder.encode(first);
    return storeEncoded(input, first, encoded, (performance.now() - began) / 1000);
  }
  const quantizer = quantizerOf(first.plan);
  const chosen = set.length > 1 && quantizer.together ? await quantizer.together.quantize(set) : [await quantizeOne(first)];
  const tensors: NamedTensor[] = [];
  const n_rows = set.reduce((sum, { layer }) => sum + layer.rows, 0);
  try {
    if (set.length > 1) await first.weight.device.sync();
    const seconds = (performance.now() - began) / 1000;
    for (const one of set) {
      const share = (seconds * one.layer.rows) / n_rows;
      tensors.push(...(await storeLayer(input, { ...one, weight: one.original }, one.clip, chosen.shift()!, share, one.pruned)));
    }
    return tensors;
  } catch (error) {
    chosen.forEach(disposeQuantized);
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

/** Weights that share a global scale with the layer's; those of other schemes have none. */
function fusedWeights({ layers }: QuantizeUnitInput, layer: LayerPlan, weightOf: (layer: LayerPlan) => Tensor): Tensor[] {
  const alike = layers.filter(
    ({ scheme }) => scheme?.weights?.strategy === 'tensor_group' && layer.scheme?.weights?.strategy === 'tensor_group',
  );
  const names = fusedWith(
    layer.name,
    alike.map(({ name }) => name),
  );
  return alike.filter(({ name }) => names.includes(name)).map(weightOf);
}

/** NaN or infinity in a weight ends the run before the weight is used. */
export async function checkFinite(
  layers: readonly LayerPlan[],
  weights: LoadedWeights,
  fileOf: (tensorName: string) => string,
): Promise<void> {
  const pending = layers.map((layer) => ({ name: loadedName(layer), numbers: summary(weights.tensor(loadedName(layer))) }));
  try {
    for (const { name, numbers } of pending) {
      const [, n_nan = 0, n_infinite = 0, , , , , , first = -1] = await numbers.readDoubles();
      if (n_nan + n_infinite > 0) throw runFailure.tensorNotFinite(name, fileOf(name), n_nan + n_infinite, first);
    }
  } finally {
    for (const { numbers } of pending) numbers.dispose();
  }
}

async function checkHessian(layer: LayerPlan, hessian: Tensor): Promise<void> {
  using numbers = summary(hessian);
  const [count = 0, n_nan = 0, n_infinite = 0] = await numbers.readDoubles();
  if (n_nan + n_infinite > 0)
    throw runFailure.activationNotFinite(layer.name, `${n_nan + n_infinite} of ${count} entries of its Hessian are NaN or infinite`);
}
