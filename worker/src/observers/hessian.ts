// Hessian of the squared error of a linear, H = 2/n · Σ XᵀX over the n calibration rows, kept as a running mean.
// Frantar et al., arXiv 2210.17323, section 3; scaled by the number of rows as llm-compressor does (accumulate_hessian and its division).
import { hessianAccumulate } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export class HessianObserver implements Observer {
  private hessian: Tensor | null = null;
  private n_documents = 0;

  constructor(private readonly device: Device) {}

  observe(input: Tensor, { offsets }: ObservedBatch): void {
    const columns = input.shape[1] ?? 0;
    this.hessian ??= this.device.zeros('F32', [columns, columns]);
    const before = this.n_documents;
    this.n_documents += offsets.length - 1;
    hessianAccumulate(this.hessian, input, { decay: before / this.n_documents, weight: 2 / this.n_documents });
  }

  /** F32 [columns, columns], handed over to the caller; null when nothing was observed. */
  take(): Tensor | null {
    const taken = this.hessian;
    this.hessian = null;
    return taken;
  }

  [Symbol.dispose](): void {
    this.hessian?.dispose();
    this.hessian = null;
  }
}
