// What the native core says where memory has run out, read back into numbers.

export interface MissingMemory {
  /** The device's own memory, or pinned memory of the host beside it. */
  where: 'device' | 'host';
  operation: string | null;
  /** Asked for at once. */
  bytes: number;
  /** At that moment, each null where it is not known: what could still be taken, what tensors held, and all that there is or that the limit allows. */
  free: number | null;
  in_tensors: number | null;
  of: number | null;
}

/** Null for every other error. */
export function missingMemory(error: unknown): MissingMemory | null {
  if (!(error instanceof Error)) return null;
  const { message } = error;
  const found = /^(?:([a-z0-9_]+)(?: of [^:]*)?: )?out of (host )?memory: (\d+) bytes/.exec(message);
  if (found === null) return null;
  const [, operation, host, bytes] = found;
  const number = (pattern: RegExp): number | null => {
    const text = pattern.exec(message)?.[1];
    return text === undefined ? null : Number(text);
  };
  return {
    where: host === undefined ? 'device' : 'host',
    operation: operation ?? null,
    bytes: Number(bytes),
    free: number(/, (\d+) free/),
    in_tensors: number(/ (\d+) in tensors/),
    of: number(/ in tensors of (\d+)/),
  };
}
