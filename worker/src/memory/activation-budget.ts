// How many bytes of hidden states may stay where, from what is free: on a CUDA device what the work on a block leaves, then pinned memory of the
// host, then files. On the CPU device and host are one.
import type { ArchitectureFacts, ModelDescription, ModelTensor, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { isSolved } from '../../../schemas/src/modifiers.js';
import type { ActivationBudget } from '../calibration/activation-cache.js';
import type { Device } from '../tensor/tensor.js';

type TensorDtype = ModelTensor['dtype'];

/** Share of the free memory of the host. */
const hostShare = 0.4;
/** Blocks of memory come in sizes of an eighth of a power of two, and those of other sizes lie idle. */
const spare = 1.25;
/** As in memory-governor.ts, beside the weight of the head. */
const logitBytes = 64 * 2 ** 20;

/** As in worker/native/core/split-bf16.h. */
const splitRows = 4096;

/** A quantized weight takes two bytes an element when it is loaded; words and bytes may hold codes of 4 bits. */
const dequantizedFactor: Readonly<Partial<Record<TensorDtype, number>>> = { I32: 4, U8: 4, I8: 2, F8_E4M3: 2 };

/**
 * Of one of `n_devices`, which share the host. `available`: bytes of the host that the run may use. `T`: tokens of the largest batch. `n_heads`: how many
 * models compute logits at the same time.
 */
export function activationBudget(
  device: Device,
  n_devices: number,
  model: ModelDescription,
  layers: QuantizationPlan['layers'],
  available: number,
  T: number,
  n_heads = 1,
): ActivationBudget {
  const { free_bytes } = device.native.memory();
  if (device.native.kind === 'cpu') return { device: (hostShare * Math.min(available, free_bytes ?? Infinity)) / n_devices, host: 0 };
  return {
    device: Math.max(0, (free_bytes ?? 0) - spare * workBytes(model, layers, T, n_heads)),
    host: (hostShare * available) / n_devices,
  };
}

/** For one of `n` caches beside each other. */
export const partOf = ({ device, host }: ActivationBudget, n: number): ActivationBudget => ({ device: device / n, host: host / n });

/**
 * What the largest block takes beside its hidden states, from above: its weights, and those of the next one; for GPTQ a Hessian for every layer
 * (n² F32), its factor and the working copies of one (3 n² F64), the weight in solving order with its errors (4 m n F32); the activations of a batch;
 * or the head with its logits.
 */
function workBytes({ tensors, architecture }: ModelDescription, layers: QuantizationPlan['layers'], T: number, n_heads: number): number {
  if (architecture === null) return 0;
  const { hidden_size: d } = architecture;
  const blocks = new Map<string, number>();
  let outside = 0;
  for (const { name, dtype, bytes } of tensors) {
    const block = name.startsWith(`${architecture.layers}.`) ? (name.slice(architecture.layers.length + 1).split('.')[0] ?? '') : null;
    if (block === null) outside = Math.max(outside, bytes);
    else blocks.set(block, (blocks.get(block) ?? 0) + (dequantizedFactor[dtype] ?? 1) * bytes);
  }
  const weights = Math.max(0, ...blocks.values());
  const solved = layers.filter((layer) => layer.block !== null && isSolved(layer));
  const [first] = solved;
  const hessians = solved.filter(({ block }) => block === first?.block).reduce((sum, { columns }) => sum + 4 * columns ** 2, 0);
  // The sum of a batch, and two BF16 parts of some rows: worker/native/observers/observers.cu.
  const summing = solved.reduce((most, { columns }) => Math.max(most, 4 * columns * (columns + Math.min(T, splitRows))), 0);
  const solving = solved.reduce((most, { rows, columns }) => Math.max(most, 24 * columns ** 2 + 16 * rows * columns), 0);
  return Math.max(
    2 * weights + hessians + Math.max(solving, passingBytes(architecture, T, summing)),
    n_heads * (outside + logitBytes + 8 * T * d),
  );
}

/** Activations of a batch of T tokens in a block, in F32, and what one operation takes beside them: the three BF16 parts of some rows of an input, or `summing`. */
export const passingBytes = ({ hidden_size: d, intermediate_size: f }: ArchitectureFacts, T: number, summing = 0): number =>
  4 * T * (6 * d + 3 * f) + Math.max(6 * Math.min(T, splitRows) * Math.max(d, f), summing);
