// Layers that vLLM cannot split over output.tensor_parallel_size GPUs: heads or sizes that do not divide, groups of weights that would lie on two.
import type { ArchitectureFacts, LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { Problem, ProblemFix } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import type { Resolution } from '../plan/resolution.js';
import { runtimeOf, tensorParallelSize } from '../runtimes/named-runtime.js';
import { isElsewhere, splitInputs } from '../runtimes/vllm-linears.js';
import type { Check } from './check.js';

const code = 'tensor-parallel-cuts-group';
const path = ['output', 'tensor_parallel_size'] as const;

const splitOutputs: readonly string[] = ['gate_proj', 'up_proj'];

export const tensorParallelCutsGroup: Check = {
  code: 'tensor-parallel-cuts-group',
  run(resolution) {
    const { document, model, layers } = resolution;
    const gpus = tensorParallelSize(document.value);
    const name = runtimeOf(document.value)?.name ?? 'vllm';
    if (gpus === 1 || model === null || name !== 'vllm') return [];
    const split = layers.filter(isSplit);
    const obstacles = obstaclesTo(gpus, split, model.architecture);
    if (obstacles.length === 0) return [];
    const kinds = oneOfEachKind(split);
    const possible = fewer(gpus).find((count) => obstaclesTo(count, kinds, model.architecture).length === 0) ?? 1;
    const fixes: ProblemFix[] = [
      { title: `Use tensor_parallel_size ${possible}`, preferred: false, edits: [{ kind: 'replace-value', path, text: String(possible) }] },
      ...ofGroupSize(gpus, split, resolution),
    ];
    const message = `vLLM cannot split this model over ${gpus} GPUs: ${obstacles.join('; ')}. It stops when it loads the checkpoint. Use tensor_parallel_size ${possible}${fixes.length > 1 ? ', or a smaller group_size' : ''}.`;
    return [{ code, severity: 'error', path, at: 'value', message, fixes } satisfies Problem];
  },
};

const isSplit = ({ role, name, block }: LayerPlan): boolean =>
  block !== null && (splitInputs.includes(role) || splitOutputs.includes(role)) && !isElsewhere(name);

/** No machine has more, and a slip of the keyboard shall cost no time. */
const mostGpus = 128;
function fewer(gpus: number): number[] {
  const most = Math.min(gpus - 1, mostGpus);
  return Array.from({ length: most }, (_, index) => most - index);
}

/** The blocks of a model repeat their shapes. */
function oneOfEachKind(layers: readonly LayerPlan[]): LayerPlan[] {
  const schemes = new Map([...new Set(layers.map(({ scheme }) => scheme))].map((scheme, at) => [scheme, at]));
  return [
    ...new Map(layers.map((layer) => [`${schemes.get(layer.scheme) ?? ''} ${layer.role} ${layer.rows} ${layer.columns}`, layer])).values(),
  ];
}

function obstaclesTo(gpus: number, layers: readonly LayerPlan[], architecture: ArchitectureFacts | null): string[] {
  const found: string[] = [];
  if (architecture !== null) {
    const { num_attention_heads: heads, num_key_value_heads: cached } = architecture;
    if (heads % gpus !== 0) found.push(`its ${heads} attention heads do not divide by ${gpus}`);
    // With more GPUs than key/value heads each head is copied to several.
    if (cached >= gpus ? cached % gpus !== 0 : gpus % cached !== 0) found.push(`${cached} key/value heads and ${gpus} GPUs do not divide`);
  }
  const uneven = layers.find((layer) => splitExtent(layer) % gpus !== 0);
  if (uneven !== undefined)
    found.push(
      `${uneven.role} has ${splitExtent(uneven)} ${splitInputs.includes(uneven.role) ? 'inputs' : 'outputs'}, which do not divide by ${gpus}`,
    );
  const cuts = new Map<string, number>();
  for (const layer of layers) {
    const cut = cutBy(gpus, layer);
    if (cut !== null) cuts.set(cut, (cuts.get(cut) ?? 0) + 1);
  }
  return [...found, ...[...cuts].map(([cut, count]) => `${cut} (${count} ${count === 1 ? 'layer' : 'layers'})`)];
}

const splitExtent = ({ role, rows, columns }: LayerPlan): number => (splitInputs.includes(role) ? columns : rows);

/** Groups run along the inputs, and so does one side of the tiles of block weights. */
function cutBy(gpus: number, layer: LayerPlan): string | null {
  const { role, scheme, columns } = layer;
  const weights = scheme?.weights ?? null;
  if (weights === null || !splitInputs.includes(role) || columns % gpus !== 0) return null;
  const isBlock = weights.strategy === 'block';
  const size = isBlock ? (weights.block_structure?.[1] ?? null) : weights.group_size;
  // With weight_g_idx every GPU has all scales.
  if (size === null || weights.actorder === 'group' || (columns / gpus) % size === 0) return null;
  const what = isBlock ? `a tile of ${size}` : `group_size ${size}`;
  return `each GPU would hold ${columns / gpus} of the ${columns} inputs of ${role}, which ${what} does not divide`;
}

function ofGroupSize(gpus: number, layers: readonly LayerPlan[], { quantization, layers: all }: Resolution): ProblemFix[] {
  const [splitOf, allOf] = [layersByScheme(layers), layersByScheme(all)];
  return quantization.flatMap(({ groups }) =>
    groups.flatMap(({ scheme, path: at, name }): ProblemFix[] => {
      if (scheme === null) return [];
      const size = scheme.weights?.strategy === 'group' ? scheme.weights.group_size : null;
      const own = splitOf.get(scheme) ?? [];
      if (size === null || !at.includes('config_groups') || !own.some((layer) => cutBy(gpus, layer) !== null)) return [];
      const whole = allOf.get(scheme) ?? [];
      const fits = (smaller: number): boolean =>
        smaller < size &&
        whole.every(({ columns }) => columns % smaller === 0) &&
        own.every((layer) => !splitInputs.includes(layer.role) || layer.columns % (smaller * gpus) === 0);
      const fitting = [128, 64, 32].find(fits);
      if (fitting === undefined) return [];
      const edits = [{ kind: 'replace-value' as const, path: [...at, 'weights', 'group_size'], text: String(fitting) }];
      return [{ title: `Use group_size ${fitting} in ${name}`, preferred: false, edits }];
    }),
  );
}
