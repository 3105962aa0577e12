// Hessian of the squared error of a linear, H = 2/n · Σ XᵀX over the n calibration rows, kept as a running mean.
// Frantar et al., arXiv 2210.17323, section 3; scaled by the number of rows as llm-compressor does (accumulate_hessian and its division).
//
// Of several devices: H = Σ (n_d / n) · H_d in the order of the devices d, each from its own batches. One device and several add the same T products for T tokens
// in another order, with 3 roundings more for each of B batches and each of D devices: both are within (T + 3 B + 3 D) · 2⁻²⁴ · 2/n · Σ |x_i x_j| of the sum
// without rounding (on CUDA + 3.1e-5 · 2/n · Σ |x_i x_j|, see observers.cu, alike for all devices), and so is what GPTQ makes of it: no farther from the exact
// answer than one device is. test/worker/run/several-devices.test.ts holds the errors of layers to 1e-4 and perplexity to 1e-4 of what one device gives.
import { hessianAccumulate, weightedAccumulate } from '../tensor/operations/observers.js';
import { narrow } from '../tensor/operations/storage.js';
import { copyTo } from '../tensor/copy-to.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export class HessianObserver implements Observer {
  private hessian: Tensor | null = null;
  private n_documents = 0;
  private n_tokens = 0;

  constructor(private readonly device: Device) {}

  observe(input: Tensor, { offsets }: ObservedBatch): void {
    const columns = input.shape[1] ?? 0;
    this.hessian ??= this.device.zeros('F32', [columns, columns]);
    const before = this.n_documents;
    this.n_tokens += input.shape[0] ?? 0;
    this.n_documents += offsets.length - 1;
    hessianAccumulate(this.hessian, input, { decay: before / this.n_documents, weight: 2 / this.n_documents });
  }

  /** F32 [columns, columns], handed over to the caller; null when nothing was observed. */
  take(): Tensor | null {
    const taken = this.hessian;
    this.hessian = null;
    return taken;
  }

  get documents(): number {
    return this.n_documents;
  }

  get tokens(): number {
    return this.n_tokens;
  }

  [Symbol.dispose](): void {
    this.hessian?.dispose();
    this.hessian = null;
  }
}

/** Bytes of a Hessian that travel at a time. */
const stripBytes = 64 * 2 ** 20;

/** What the observers of all devices have seen, on `target` and the caller's; null when that is nothing. The observers hand theirs over. */
export async function mergeHessians(
  observers: readonly Pick<HessianObserver, 'take' | 'documents'>[],
  target: Device,
): Promise<Tensor | null> {
  const parts = observers.flatMap((observer) => {
    const hessian = observer.take();
    return hessian === null ? [] : [{ hessian, documents: observer.documents }];
  });
  const own = parts.find(({ hessian }) => hessian.device === target)?.hessian;
  if (own !== undefined && parts.length === 1) return own;
  try {
    const columns = parts[0]?.hessian.shape[0];
    if (columns === undefined) return null;
    const merged = own ?? target.zeros('F32', [columns, columns]);
    try {
      await mergeInto(merged, parts, columns);
      return merged;
    } catch (error) {
      merged.dispose();
      throw error;
    }
  } finally {
    for (const { hessian } of parts) if (hessian !== own) hessian.dispose();
  }
}

/** `merged` may be one of the parts: a strip of it is replaced when its own share has been added. */
async function mergeInto(merged: Tensor, parts: readonly { hessian: Tensor; documents: number }[], columns: number): Promise<void> {
  const documents = parts.reduce((sum, part) => sum + part.documents, 0);
  const rowsAtATime = Math.max(1, Math.floor(stripBytes / (4 * columns)));
  for (let begin = 0; begin < columns; begin += rowsAtATime) {
    const length = Math.min(rowsAtATime, columns - begin);
    using sum = merged.device.zeros('F32', [length, columns]);
    for (const part of parts) {
      using strip = narrow(part.hessian, begin, length);
      using here = await copyTo(strip, merged.device);
      weightedAccumulate(sum, here, { decay: 1, weight: part.documents / documents });
    }
    using place = narrow(merged, begin, length);
    weightedAccumulate(place, sum, { decay: 0, weight: 1 });
  }
}
