// Arrays beside the report: little-endian, one file per work unit, written before the numbers that point into it.
import type { SidecarArray } from '../../../schemas/src/generated/report.js';

/** Arrays that were collected together, and where the first of them lay. */
export interface SidecarPart {
  chunks: readonly Uint8Array[];
  begin: number;
}

/** Collects the arrays of one unit; `chunks` are the bytes of the file, in order. */
export class Sidecar {
  readonly chunks: Uint8Array[] = [];
  private offset = 0;
  private taken = 0;

  /** `file`: name in the report folder. */
  constructor(readonly file: string) {}

  counts(counts: Uint32Array, range: { min: number; max: number }, shape: number[] = [counts.length]): SidecarArray {
    return this.add('U32', new Uint8Array(counts.buffer, counts.byteOffset, counts.byteLength), shape, range.min, range.max);
  }

  floats(values: Float32Array): SidecarArray {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.add(
      'F32',
      bytes,
      [values.length],
      values.length > 0 ? Math.min(...values) : null,
      values.length > 0 ? Math.max(...values) : null,
    );
  }

  /** What was collected since the last call; it no longer stands here. */
  take(): SidecarPart {
    const part = { chunks: this.chunks.splice(0), begin: this.taken };
    this.taken = this.offset;
    return part;
  }

  /** Puts what another has collected behind what is here; answers where its arrays lie now. */
  append({ chunks, begin }: SidecarPart): (array: SidecarArray | null) => SidecarArray | null {
    const shift = this.offset - begin;
    this.chunks.push(...chunks);
    this.offset += chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    return (array) => array && { ...array, offset: array.offset + shift };
  }

  private add(dtype: SidecarArray['dtype'], bytes: Uint8Array, shape: number[], min: number | null, max: number | null): SidecarArray {
    const array = { file: this.file, dtype, shape, offset: this.offset, min, max };
    this.chunks.push(bytes);
    this.offset += bytes.byteLength;
    return array;
  }
}

const isArray = (value: object): value is SidecarArray => 'dtype' in value && 'offset' in value && 'file' in value;

/** The value with every array in it where `place` says. */
export function withPlacedArrays<T>(value: T, place: (array: SidecarArray) => SidecarArray | null): T {
  if (typeof value !== 'object' || value === null) return value;
  if (isArray(value)) return place(value) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => withPlacedArrays(item, place)) as T;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withPlacedArrays(item as unknown, place)])) as T;
}
