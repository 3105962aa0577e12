// Importance matrices as llama-imatrix writes them, in both of its forms.

export interface ImatrixSums {
  /** Sums of squared inputs. */
  sums: ArrayLike<number>;
  count: number;
}
type Entries = Readonly<Record<string, ImatrixSums>>;

const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const floats = (values: ArrayLike<number>): Buffer => Buffer.from(Float32Array.from(values).buffer);
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);

/** NAME.in_sum2 [1, columns] beside NAME.counts [1, 1], by name. */
export function ggufImatrix(entries: Entries): Buffer {
  const tensors = Object.keys(entries)
    .sort()
    .flatMap((name) => {
      const { sums, count } = entries[name]!;
      return [
        { name: `${name}.in_sum2`, extents: [sums.length, 1], data: floats(sums) },
        { name: `${name}.counts`, extents: [1, 1], data: floats([count]) },
      ];
    });
  const metadata = [
    [text('general.type'), u32(8), text('imatrix')],
    [text('imatrix.datasets'), u32(9), u32(8), u64(1), text('rows.txt')],
    [text('imatrix.chunk_count'), u32(4), u32(3)],
    [text('imatrix.chunk_size'), u32(4), u32(512)],
  ].flat();
  let offset = 0;
  const infos = tensors.flatMap(({ name, extents, data }) => {
    const at = offset;
    offset += padded(data).length;
    return [text(name), u32(extents.length), ...extents.map(u64), u32(0), u64(at)];
  });
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(4), ...metadata, ...infos]);
  return Buffer.concat([padded(head), ...tensors.map(({ data }) => padded(data))]);
}

/** Values are means times the number of calls. */
export function legacyImatrix(entries: Entries): Buffer {
  const parts = Object.entries(entries).flatMap(([name, { sums, count }]) => [
    u32(name.length),
    Buffer.from(name),
    u32(count),
    u32(sums.length),
    floats(sums),
  ]);
  return Buffer.concat([u32(Object.keys(entries).length), ...parts, u32(3), u32(8), Buffer.from('rows.txt')]);
}
