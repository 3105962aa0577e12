// The product of two inputs of a linear, C = 2/n · Σ XᵀX̃ over the n calibration rows, kept as a running mean beside the Hessian of X̃ (hessian.ts): X are the
// inputs in the unquantized model, X̃ those behind the quantized blocks. What error correction aims by: Zhang et al. (Qronos), arXiv 2505.11695, section 3.
import { crossHessianAccumulate } from '../tensor/operations/observers.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch } from './observer.js';

export class CrossHessianObserver implements Disposable {
  private cross: Tensor | null = null;
  private n_documents = 0;

  constructor(private readonly device: Device) {}

  /** Both F32 [tokens, columns], of the same tokens; valid during the call only. */
  observe(original: Tensor, input: Tensor, { offsets }: ObservedBatch): void {
    const columns = input.shape[1] ?? 0;
    this.cross ??= this.device.zeros('F32', [columns, columns]);
    const before = this.n_documents;
    this.n_documents += offsets.length - 1;
    crossHessianAccumulate(this.cross, original, input, { decay: before / this.n_documents, weight: 2 / this.n_documents });
  }

  /** F32 [columns, columns], handed over to the caller; null when nothing was observed. */
  take(): Tensor | null {
    const taken = this.cross;
    this.cross = null;
    return taken;
  }

  get documents(): number {
    return this.n_documents;
  }

  [Symbol.dispose](): void {
    this.cross?.dispose();
    this.cross = null;
  }
}
