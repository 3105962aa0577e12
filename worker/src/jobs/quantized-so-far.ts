// A block as far as it is quantized: for quantizers that correct errors, o_proj has to see what the q, k and v do that are stored, and down_proj the gate and up.
// Without this what they compare with the unquantized model lacks the errors of their own block, and correcting the rest of it moves weights for nothing:
// stories260K at 3 bits per row, Qronos with the authors' update, perplexity 8.1 on a block seen once and 6.3 on one seen step by step (bench/quality/results.md).
// Quantized inputs of the linears before, where the scheme has them, are those of the next block on; inside a block they pass as they are.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { SpreadRows } from '../calibration/spread-rows.js';
import type { WeightCopies } from '../checkpoint/weight-copies.js';
import type { WeightSource } from '../models/model.js';
import { copyTo } from '../tensor/copy-to.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { WorkUnit } from './layer-jobs.js';

/** Weights as a reader of the file gets them, in place of those of the block; owns its tensors. */
export class QuantizedSoFar implements Disposable {
  private readonly onDevice: Map<string, Tensor>[];

  constructor(
    private readonly devices: readonly Device[],
    private readonly copies: WeightCopies,
  ) {
    this.onDevice = devices.map(() => new Map());
  }

  /** Of a linear that is done: its weight, and its bias where that is new; the caller keeps its own. */
  async keep({ name }: LayerPlan, weight: Tensor, bias: Tensor | null): Promise<void> {
    for (const [index, device] of this.devices.entries()) {
      const own = this.onDevice[index]!;
      own.set(`${name}.weight`, await copyTo(weight, device));
      if (bias !== null) own.set(`${name}.bias`, await copyTo(bias, device));
    }
  }

  on(index: number): WeightSource {
    const [base, own] = [this.copies.on(index), this.onDevice[index]!];
    return {
      has: (tensorName) => own.has(tensorName) || base.has(tensorName),
      tensor: (tensorName) => own.get(tensorName) ?? base.tensor(tensorName),
      linear: (module) => {
        const before = base.linear(module);
        return { ...before, weight: own.get(`${module}.weight`) ?? before.weight, bias: own.get(`${module}.bias`) ?? before.bias };
      },
    };
  }

  [Symbol.dispose](): void {
    for (const own of this.onDevice) for (const tensor of own.values()) tensor.dispose();
  }
}

/** Linears with one input, in the order in which a row meets them. */
export async function stepsOf({ block, layers }: WorkUnit, rows: SpreadRows | null, copies: WeightCopies): Promise<LayerPlan[][]> {
  if (rows === null || block === null) return [[...layers]];
  const [part] = rows.parts;
  const [batch] = part.batches;
  if (batch === undefined) return [[...layers]];
  const groups: string[][] = [];
  let last: Tensor | null = null;
  using hidden = part.cache.get(0);
  part.model.observeBlock(block, hidden, batch, copies.first, (module, input) => {
    if (input === last) groups.at(-1)?.push(module);
    else groups.push([module]);
    last = input;
  });
  await part.device.sync();
  const steps = groups.map((modules) => layers.filter(({ name }) => modules.includes(name))).filter((step) => step.length > 0);
  const rest = layers.filter((layer) => !steps.some((step) => step.includes(layer)));
  return rest.length === 0 ? steps : [...steps, rest];
}
