// The layers of a unit over the devices of a run. Linears with one input stay together, because their Hessian is factored once; what goes where follows from
// the sizes alone. Results leave in the order that one device would give, whichever device is done first.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { allOf } from '../calibration/spread-rows.js';
import type { SpreadStatistics } from '../calibration/spread-statistics.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import type { WeightCopies } from '../checkpoint/weight-copies.js';
import { fusedWith } from '../quantizers/fused-linears.js';
import { Sidecar, withPlacedArrays } from '../report/sidecar.js';
import type { Device } from '../tensor/tensor.js';
import { quantizeOperations } from './operations-estimate.js';
import { quantizeUnit, type QuantizeUnitInput } from './quantize-unit.js';

export interface LayerGroup {
  layers: LayerPlan[];
  /** Modules whose inputs are one, layers of the group among them; empty where nothing was observed. */
  modules: readonly string[];
  /** Number of the device that quantizes them. */
  device: number;
}

/** The costliest group first, each to the device with the least to do so far; of equals the first. */
export function placeLayers(layers: readonly LayerPlan[], shared: readonly (readonly string[])[], n_devices: number): LayerGroup[] {
  const observed = shared.map((modules) => ({ modules, layers: layers.filter(({ name }) => modules.includes(name)) }));
  const groups = observed.filter((group) => group.layers.length > 0);
  const rest = layers.filter(({ name }) => !shared.some((modules) => modules.includes(name)));
  for (const layer of rest) {
    const sibling = groups.find((group) => group.modules.length === 0 && group.layers.some((other) => shareScale(layer, other)));
    if (sibling === undefined) groups.push({ modules: [], layers: [layer] });
    else sibling.layers.push(layer);
  }
  const load = new Array<number>(n_devices).fill(0);
  const device = new Map<LayerPlan[], number>();
  const costs = groups.map((group) => ({ group, cost: quantizeOperations(group.layers) })).sort((a, b) => b.cost - a.cost);
  for (const { group, cost } of costs) {
    const least = load.indexOf(Math.min(...load));
    load[least] = (load[least] ?? 0) + cost;
    device.set(group.layers, least);
  }
  return groups.map((group) => ({ ...group, device: device.get(group.layers) ?? 0 }));
}

/** NVFP4: the global scale is that of both. */
const shareScale = (a: LayerPlan, b: LayerPlan): boolean =>
  a.scheme?.weights?.strategy === 'tensor_group' &&
  b.scheme?.weights?.strategy === 'tensor_group' &&
  fusedWith(a.name, [b.name]).length > 0;

export interface SpreadLayersInput extends Pick<QuantizeUnitInput, 'layers' | 'pruning' | 'transforms' | 'sidecar' | 'onLayer' | 'onRead'> {
  groups: readonly LayerGroup[];
  devices: readonly Device[];
  copies: WeightCopies;
  /** Null without calibration. */
  statistics: SpreadStatistics | null;
}

/** Answers the new tensors; the caller disposes them. */
export async function quantizeSpread(input: SpreadLayersInput): Promise<NamedTensor[]> {
  const { layers, pruning, groups, devices, copies, statistics, transforms, onRead = null } = input;
  // All at once and before the first layer, as a device hands nothing out while it factors.
  await allOf(groups.map(async ({ modules, device }) => statistics?.gather(modules, devices[device]!)));
  if (devices.length === 1) return quantizeUnit({ ...input, weights: copies.first });
  const results = new ResultsInOrder([
    ...groups.filter(({ modules }) => modules.length > 0).map((group) => group.layers),
    ...layers.filter((layer) => !groups.some((group) => group.modules.length > 0 && group.layers.includes(layer))).map((layer) => [layer]),
  ]);
  let hasFailed = false;
  const onDevice = async (index: number): Promise<void> => {
    for (const group of groups) {
      if (group.device !== index || hasFailed) continue;
      const sidecar = new Sidecar(input.sidecar.file);
      const onLayer: QuantizeUnitInput['onLayer'] = (layer, metrics, problems) => {
        const part = sidecar.take();
        results.tell(layer.name, () => {
          const placed = input.sidecar.append(part);
          input.onLayer(layer, withPlacedArrays(metrics, placed), problems);
        });
      };
      try {
        const weights = copies.on(index);
        results.keep(await quantizeUnit({ layers: group.layers, pruning, weights, statistics, transforms, sidecar, onLayer, onRead }));
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  try {
    await allOf(devices.map((_, index) => onDevice(index)));
    return results.tensors;
  } catch (error) {
    for (const { tensor } of results.tensors) tensor.dispose();
    throw error;
  }
}

interface Turn {
  layersLeft: number;
  waiting: (() => void)[];
  tensors: NamedTensor[];
}

/** Holds back what is done before its turn. Layers with one turn come in the order in which they are done, as on one device. */
class ResultsInOrder {
  private readonly turns: Turn[];
  private readonly turnOf = new Map<string, Turn>();
  private next = 0;

  constructor(layers: readonly (readonly LayerPlan[])[]) {
    this.turns = layers.map((group) => {
      const turn: Turn = { layersLeft: group.length, waiting: [], tensors: [] };
      for (const { name } of group) this.turnOf.set(name, turn);
      return turn;
    });
  }

  get tensors(): NamedTensor[] {
    return this.turns.flatMap((turn) => turn.tensors);
  }

  /** Of a layer or several; their names begin with that of the layer. */
  keep(tensors: readonly NamedTensor[]): void {
    for (const one of tensors) this.turn(one.name.replace(/(\.lora_[AB])?\.\w+$/, '')).tensors.push(one);
  }

  tell(layer: string, tell: () => void): void {
    this.turn(layer).waiting.push(tell);
    for (let current = this.turns[this.next]; current !== undefined; current = this.turns[this.next]) {
      for (let first = current.waiting.shift(); first !== undefined; first = current.waiting.shift()) {
        current.layersLeft -= 1;
        first();
      }
      if (current.layersLeft > 0) return;
      this.next += 1;
    }
  }

  private turn(layer: string): Turn {
    const turn = this.turnOf.get(layer);
    if (turn === undefined) throw new Error(`${layer} was quantized and was not among the layers of its unit.`);
    return turn;
  }
}
