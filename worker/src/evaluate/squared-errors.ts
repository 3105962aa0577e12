// Sums of squared differences by what they belong to, collected while the device works and read together.
import { compare } from '../tensor/operations/metrics.js';
import { narrow } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import { comparedRows } from './compared-rows.js';

export class SquaredErrors implements Disposable {
  private readonly pending: { key: string; sums: Tensor }[] = [];

  /** Of the rows of each document but its first; `offsets` null: of all. */
  add(of: string, part: string, a: Tensor, b: Tensor, offsets: readonly number[] | null): void {
    const rows = offsets === null ? [[0, a.shape[0] ?? 0] as const] : comparedRows(offsets);
    for (const [begin, end] of rows) {
      using own = narrow(a, begin, end - begin);
      using other = narrow(b, begin, end - begin);
      this.pending.push({ key: `${of}\n${part}`, sums: compare(own, other) });
    }
  }

  /** Waits for the device. Shares of Σ a² of what `whole` compared; 0 where that part was not added, null where it is not finite. */
  async shares(): Promise<{ of(of: string, part: string, whole?: string): number | null }> {
    const sums = new Map<string, { before: number; error: number }>();
    for (const { key, sums: tensor } of this.pending) {
      const [before = 0, , error = 0] = await tensor.readDoubles();
      const known = sums.get(key) ?? { before: 0, error: 0 };
      sums.set(key, { before: known.before + before, error: known.error + error });
    }
    return {
      of: (of, part, whole = part) => {
        const error = sums.get(`${of}\n${part}`)?.error ?? 0;
        const before = sums.get(`${of}\n${whole}`)?.before ?? 0;
        const share = error === 0 ? 0 : error / before;
        return Number.isFinite(share) ? share : null;
      },
    };
  }

  [Symbol.dispose](): void {
    for (const { sums } of this.pending) sums.dispose();
  }
}
