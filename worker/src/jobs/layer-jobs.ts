// Plan → work units in order: embeddings, then the decoder blocks, then what follows them. A unit is written and journalled as one.
import type {
  AwqPlan,
  LayerPlan,
  PrunerPlan,
  QuantizationArgs,
  QuantizationPlan,
  QuantizerPlan,
  SmoothQuantPlan,
  TransformPlan,
} from '../../../schemas/src/generated/plan.js';
import { isEncoded } from '../../../schemas/src/encoded-weights.js';
import { levelsFacts } from '../../../schemas/src/levels.js';
import { isAdapter, isScaling, isSolved, keepsZeros, type ScalingPlan } from '../../../schemas/src/modifiers.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { storageObstacle } from '../checkpoint/formats/compressed-tensors.js';
import { areInputsKnown } from '../tensor/grid-args.js';

export interface MappingOf<Plan extends ScalingPlan> {
  plan: Plan;
  mapping: Plan['mappings'][number];
}

/** A pruner's work on one layer. */
export interface PruningOf {
  plan: PrunerPlan;
  layer: string;
  sparsity: number;
}

export interface WorkUnit {
  index: number;
  /** Decoder block; null outside. */
  block: number | null;
  /** Embeddings come before the blocks because the calibration rows pass through them first. */
  place: 'before' | 'block' | 'after';
  /** Layers to prune or to quantize. */
  layers: LayerPlan[];
  /** In the order of the recipe. */
  pruning: PruningOf[];
  transforms: (MappingOf<SmoothQuantPlan> | MappingOf<AwqPlan>)[];
}

export const describeUnit = ({ block, layers }: Pick<WorkUnit, 'block' | 'layers'>): string =>
  block === null ? layers.map(({ name }) => name).join(', ') : `block ${block}`;

/** Mappings whose statistics come from one pass of the rows: neighbours of one kind. */
export type TransformPass =
  { name: 'smoothquant'; mappings: MappingOf<SmoothQuantPlan>[] } | { name: 'awq'; mappings: MappingOf<AwqPlan>[] };

export function transformPasses({ transforms }: Pick<WorkUnit, 'transforms'>): TransformPass[] {
  const passes: TransformPass[] = [];
  for (const transform of transforms) {
    const last = passes.at(-1);
    if (isOf('smoothquant', transform)) {
      if (last?.name === 'smoothquant') last.mappings.push(transform);
      else passes.push({ name: 'smoothquant', mappings: [transform] });
    } else if (isOf('awq', transform)) {
      if (last?.name === 'awq') last.mappings.push(transform);
      else passes.push({ name: 'awq', mappings: [transform] });
    }
  }
  return passes;
}

/** The name of the plan tells which kind of mapping stands beside it. */
const isOf = <Name extends ScalingPlan['name']>(
  name: Name,
  transform: WorkUnit['transforms'][number],
): transform is Extract<WorkUnit['transforms'][number], { plan: { name: Name } }> => transform.plan.name === name;

/** With calibration every block is a unit, because the rows must pass through all of them; without it only what changes is. */
export function planUnits(plan: QuantizationPlan): WorkUnit[] {
  const works = pruningOf(plan);
  const pruned = new Set(works.map(({ layer }) => layer));
  const changed = plan.layers.filter((layer, index, layers) => isStored(layer, index, layers) || pruned.has(layer.name));
  const n_blocks = plan.calibration === null ? 0 : (plan.model.architecture?.num_hidden_layers ?? 0);
  const blocks = new Map<number, Omit<WorkUnit, 'index'>>();
  const blockUnit = (block: number): Omit<WorkUnit, 'index'> => {
    const unit = blocks.get(block) ?? { block, place: 'block' as const, layers: [], pruning: [], transforms: [] };
    blocks.set(block, unit);
    return unit;
  };
  for (let block = 0; block < n_blocks; block += 1) blockUnit(block);
  for (const layer of changed) if (layer.block !== null) blockUnit(layer.block).layers.push(layer);
  for (const transform of plan.transforms.filter(isScaling))
    for (const one of mappingsOf(transform)) blockUnit(blockOf(plan, one.mapping)).transforms.push(one);
  const outside = changed.filter((layer) => layer.block === null);
  const single = (place: 'before' | 'after') => (layer: LayerPlan) => ({
    block: null,
    place,
    layers: [layer],
    pruning: [],
    transforms: [],
  });
  return [
    ...outside.filter((layer) => layer.kind === 'Embedding').map(single('before')),
    ...[...blocks.values()].sort((a, b) => (a.block ?? 0) - (b.block ?? 0)),
    ...outside.filter((layer) => layer.kind !== 'Embedding').map(single('after')),
  ].map((unit, index) => ({
    index,
    ...unit,
    pruning: works.filter((work) => unit.layers.some(({ name }) => name === work.layer)),
  }));
}

const pruningOf = ({ pruning }: Pick<QuantizationPlan, 'pruning'>): PruningOf[] =>
  pruning.flatMap((plan) => plan.layers.map(({ name, sparsity }) => ({ plan, layer: name, sparsity })));

const mappingsOf = (plan: ScalingPlan): WorkUnit['transforms'] =>
  plan.name === 'awq' ? plan.mappings.map((mapping) => ({ plan, mapping })) : plan.mappings.map((mapping) => ({ plan, mapping }));

/** Layers whose weight the checkpoint holds quantized: GPTQ leaves embeddings alone, and a tied weight is stored once. */
export function isStored(layer: LayerPlan, _index: number, layers: readonly LayerPlan[]): boolean {
  if (!layer.scheme?.weights || isSkippedEmbedding(layer)) return false;
  const source = layers.find((other) => other.name === layer.tied_to);
  const sharesStored =
    source?.scheme?.weights && !isSkippedEmbedding(source) && JSON.stringify(source.scheme) === JSON.stringify(layer.scheme);
  return !sharesStored;
}

/** A tied pair stays tied when both are stored as they were, or both as the one quantized embedding. */
export function isUntied(plan: QuantizationPlan): boolean {
  return plan.layers.some((layer, index) => {
    const source = plan.layers.find((other) => other.name === layer.tied_to);
    if (source === undefined) return false;
    if (plan.pruning.some(({ layers }) => layers.some(({ name }) => name === layer.name || name === source.name))) return true;
    const sourceIsStored = isStored(source, 0, plan.layers);
    const sharesStored = sourceIsStored && JSON.stringify(source.scheme) === JSON.stringify(layer.scheme);
    return isStored(layer, index, plan.layers) || (sourceIsStored && !sharesStored);
  });
}

export const isSkippedEmbedding = (layer: LayerPlan): boolean =>
  layer.kind === 'Embedding' && (isSolved(layer) || layer.scheme?.weights?.codebook !== undefined);

function blockOf(plan: QuantizationPlan, { smooth_layer, balance_layers }: ScalingPlan['mappings'][number]): number {
  const blocks = new Set(plan.layers.filter((layer) => balance_layers.includes(layer.name)).map((layer) => layer.block));
  const [block] = blocks;
  if (blocks.size !== 1 || block === null || block === undefined)
    throw runFailure.planInvalid(`the mapping of ${smooth_layer} to ${balance_layers.join(', ')} does not lie in one decoder block`);
  return block;
}

/** What this version cannot do is said before the first weight is read, all of it at once. */
export function checkPlanIsSupported(plan: QuantizationPlan, observers: { weights: readonly string[]; inputs: readonly string[] }): void {
  const faults = [...plan.layers.flatMap((layer) => (layer.scheme ? schemeFaults(layer, observers) : [])), ...pruningFaults(plan)];
  for (const layer of plan.layers)
    if ((layer.scheme || plan.pruning.length > 0) && plan.model.quantization) {
      faults.push('the model is quantized already');
      break;
    }
  const encoded = plan.layers.find(({ scheme }) => scheme?.weights && isEncoded(scheme.weights));
  const variance = plan.transforms.find(({ name }) => name === 'variance-correction');
  if (encoded !== undefined && variance !== undefined)
    faults.push(`${variance.modifier} changes the scales of channels, and ${encoded.name} is stored without such scales`);
  if (plan.transforms.some(({ name }) => name === 'awq') && plan.layers.some(({ scheme }) => scheme?.weights?.type === 'float'))
    faults.push('AWQ searches scales for integers alone, and a layer has weights of floats');
  const observed = plan.transforms.find(needsRows);
  if (plan.calibration === null && observed !== undefined) faults.push(`${observed.modifier} needs calibration and the plan has none`);
  if (faults.length > 0) throw runFailure.planInvalid(listed([...new Set(faults)]));
}

const needsRows = (transform: TransformPlan): boolean =>
  isScaling(transform) ||
  transform.name === 'bias-correction' ||
  transform.name === 'duquant' ||
  isAdapter(transform) ||
  (transform.name === 'variance-correction' && transform.statistic === 'outputs');

function pruningFaults(plan: QuantizationPlan): string[] {
  const layers = new Map(plan.layers.map((layer) => [layer.name, layer]));
  return plan.pruning.flatMap((pruner) => {
    const structure = 'mask_structure' in pruner ? pruner.mask_structure : null;
    const faults = pruner.layers.flatMap(({ name }): string[] => {
      const layer = layers.get(name);
      if (layer === undefined) return [`${pruner.modifier} prunes ${name}, which the model does not have`];
      if (!['BF16', 'F16', 'F32'].includes(layer.dtype))
        return [`${name}: its weight is ${layer.dtype}, and only BF16, F16 and F32 can be pruned`];
      if (structure !== null && layer.columns % structure.m !== 0)
        return [
          `${name}: ${layer.columns} columns are not a multiple of ${structure.m}, as mask_structure ${structure.n}:${structure.m} needs`,
        ];
      if (layer.quantizer !== null && !keepsZeros.includes(layer.quantizer.name))
        return [`${name}: ${layer.quantizer.modifier} would not keep the zeros of ${pruner.modifier}`];
      if (layer.scheme?.weights?.levels) return [`${name}: its levels ${layer.scheme.weights.levels} do not go together with pruning yet`];
      return [];
    });
    const wantsRows = pruner.name === 'sparsegpt' || pruner.name === 'wanda';
    return wantsRows && plan.calibration === null ? [...faults, `${pruner.modifier} needs calibration and the plan has none`] : faults;
  });
}

function schemeFaults(
  { name, scheme, dtype, columns, quantizer }: LayerPlan,
  observers: { weights: readonly string[]; inputs: readonly string[] },
): string[] {
  const faults: string[] = [];
  const weights = scheme?.weights;
  const inputs = scheme?.input_activations;
  if (weights) {
    const encoded = isEncoded(weights);
    const obstacle = encoded ? null : storageObstacle(scheme);
    if (obstacle !== null) faults.push(`${name}: ${obstacle} cannot be made yet`);
    if (weights.actorder === 'group' && weights.num_bits === 4 && weights.type === 'float')
      faults.push(`${name}: actorder group leaves a table of groups behind, which ${scheme.format} has no place for`);
    if ((weights.strategy === 'group' || weights.strategy === 'tensor_group') && columns % (weights.group_size ?? 1) !== 0 && !encoded)
      faults.push(`${name}: ${columns} columns are not a multiple of group_size ${weights.group_size}`);
    if (!['BF16', 'F16', 'F32'].includes(dtype))
      faults.push(`${name}: its weight is ${dtype}, and only BF16, F16 and F32 can be quantized`);
    if (!observers.weights.includes(weights.observer ?? 'memoryless_minmax'))
      faults.push(`${name}: there is no weight observer ${weights.observer} yet`);
    if (quantizer === null) faults.push(`${name}: it has a scheme and no quantizer`);
    const unsolvable = solverObstacle(quantizer, weights);
    if (unsolvable !== null) faults.push(`${name}: ${unsolvable}`);
  }
  if (inputs) faults.push(...inputFaults(name, columns, inputs, observers.inputs));
  if (scheme?.output_activations) faults.push(`${name}: output_activations cannot be calibrated yet`);
  return faults;
}

/** What a solver cannot choose codes for: all but GPTQ solve for integers, and those that choose scales do so row by row. */
function solverObstacle(quantizer: QuantizerPlan | null, weights: QuantizationArgs): string | null {
  if (quantizer === null || quantizer.name === 'rtn' || quantizer.name === 'gptq' || isEncoded(weights)) return null;
  const { type, strategy, levels } = weights;
  if (levels !== undefined && !levelsFacts[levels].has_even_steps)
    return `${quantizer.modifier} chooses integers one step apart, and levels ${levels} are not`;
  if (type !== 'int') return `${quantizer.modifier} chooses integers, and its scheme has floats`;
  if ((quantizer.name === 'beacon' || quantizer.name === 'comq') && strategy !== 'channel' && strategy !== 'group')
    return `${quantizer.modifier} chooses the scales of each row, and its scheme has strategy ${strategy}; use channel or group`;
  return null;
}

function inputFaults(name: string, columns: number, inputs: QuantizationArgs, observers: readonly string[]): string[] {
  const { type, num_bits, strategy, group_size, dynamic, observer } = inputs;
  const faults: string[] = [];
  if (!areInputsKnown(inputs)) faults.push(`${name}: inputs as ${type}${num_bits} per ${strategy} cannot be done yet`);
  if (group_size !== null && columns % group_size !== 0)
    faults.push(`${name}: ${columns} inputs are not a multiple of their group_size ${group_size}`);
  if (dynamic !== true && !observers.includes(observer ?? 'memoryless_minmax'))
    faults.push(`${name}: there is no input observer ${observer} yet`);
  return faults;
}

/** At most five of them in words: the rest is counted. */
function listed(faults: readonly string[]): string {
  const shown = faults.slice(0, 5).join('; ');
  return faults.length > 5 ? `${shown}; and ${faults.length - 5} more` : shown;
}
