// Seeded random choices for property tests: the same seed gives the same texts and bytes everywhere (mulberry32).

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** In [0, n). */
  below(n: number): number;
  of<T>(items: readonly T[]): T;
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return { next, below, of: (items) => items[below(items.length)]! };
}

/** Uniform with one large value in every 61, the same each time. */
export function spikedValues(): () => number {
  let [state, n] = [7, 0];
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    n += 1;
    return (state / 2 ** 32 - 0.45) * (n % 61 === 0 ? 2 : 0.2);
  };
}
