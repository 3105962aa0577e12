// What the native core says where memory has run out, read back into numbers.

export interface MissingMemory {
  /** The device's own memory, or pinned memory of the host beside it. */
  where: 'device' | 'host';
  operation: string | null;
  /** Asked for at once. */
  bytes: number;
  /** Of tensors there at that moment; null where the operation did not say. */
  bytes_in_use: number | null;
}

/** Null for every other error. */
export function missingMemory(error: unknown): MissingMemory | null {
  if (!(error instanceof Error)) return null;
  const found = /^(?:([a-z0-9_]+)(?: of [^:]*)?: )?out of (host )?memory: (\d+) bytes(?:.* beside (\d+) bytes in use)?/.exec(error.message);
  if (found === null) return null;
  const [, operation, host, bytes, in_use] = found;
  return {
    where: host === undefined ? 'device' : 'host',
    operation: operation ?? null,
    bytes: Number(bytes),
    bytes_in_use: in_use === undefined ? null : Number(in_use),
  };
}
