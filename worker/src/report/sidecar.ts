// Arrays beside the report: little-endian, one file per work unit, written before the numbers that point into it.
import type { SidecarArray } from '../../../schemas/src/generated/report.js';

/** Collects the arrays of one unit; `chunks` are the bytes of the file, in order. */
export class Sidecar {
  readonly chunks: Uint8Array[] = [];
  private offset = 0;

  /** `file`: name in the report folder. */
  constructor(readonly file: string) {}

  counts(counts: Uint32Array, range: { min: number; max: number }): SidecarArray {
    return this.add('U32', new Uint8Array(counts.buffer, counts.byteOffset, counts.byteLength), counts.length, range.min, range.max);
  }

  floats(values: Float32Array): SidecarArray {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.add(
      'F32',
      bytes,
      values.length,
      values.length > 0 ? Math.min(...values) : null,
      values.length > 0 ? Math.max(...values) : null,
    );
  }

  private add(dtype: SidecarArray['dtype'], bytes: Uint8Array, length: number, min: number | null, max: number | null): SidecarArray {
    const array = { file: this.file, dtype, shape: [length], offset: this.offset, min, max };
    this.chunks.push(bytes);
    this.offset += bytes.byteLength;
    return array;
  }
}
