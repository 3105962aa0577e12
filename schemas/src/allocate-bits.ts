// Which scheme each group of layers gets, so that the whole fits a number of bytes and loses least: exact, by dynamic programming. Pure, so that a
// server, a command line or a page can solve again at once.
//
//   groups       layers that take one scheme together (fused siblings: q/k/v, gate/up)
//   candidates   of a group: scheme, its bytes to the byte, its loss (any measure that adds up over layers)
//
// A multiple-choice knapsack (Kellerer, Pferschy and Pisinger, Knapsack Problems, 2004, chapter 11). Group by group the list of all totals is kept that
// no other beats in both bytes and loss (Nemhauser and Ullmann, Management Science 15, 1969); the last list is the whole Pareto curve, and every budget
// is one look into it. Cost: groups · candidates · length of the list; the list is never longer than (most − least bytes) / g + 1, g the greatest common
// divisor of the differences, which is large because layers have equal shapes.

export interface Candidate {
  scheme: string;
  bytes: number;
  loss: number;
}

export interface CandidateGroup {
  name: string;
  candidates: readonly Candidate[];
}

/** One point of the curve: nothing has fewer bytes and at most its loss. */
export interface Allocation {
  bytes: number;
  loss: number;
  /** By group, in order: the index of its candidate. */
  choices: readonly number[];
}

/** `most`: totals kept at a time. */
export interface AllocationLimits {
  most?: number;
}

/** 4 million totals are 100 MB. */
const mostTotals = 4_000_000;

export class AllocationError extends Error {}

/** A list of totals, by rising bytes and falling loss; how each came about is kept as indices. */
interface Frontier {
  bytes: Float64Array;
  loss: Float64Array;
  /** Index in the list before, and of the candidate. */
  from: Int32Array;
  choice: Uint16Array;
}

/** All allocations that nothing beats, by rising bytes. */
export class ParetoCurve {
  private readonly steps: Frontier[] = [];

  constructor(
    readonly groups: readonly CandidateGroup[],
    { most = mostTotals }: AllocationLimits = {},
  ) {
    let last: Frontier = { bytes: Float64Array.of(0), loss: Float64Array.of(0), from: Int32Array.of(-1), choice: Uint16Array.of(0) };
    let kept = 0;
    for (const group of groups) {
      checkGroup(group);
      last = extended(last, group.candidates);
      kept += last.bytes.length;
      if (kept > most)
        throw new AllocationError(
          `the exact allocation of ${groups.length} groups keeps more than ${most} totals at ${group.name}; offer fewer candidates, or groups of equal shapes`,
        );
      this.steps.push(last);
    }
    if (this.steps.length === 0) throw new AllocationError('there is no group to allocate');
  }

  get length(): number {
    return this.last.bytes.length;
  }

  get leastBytes(): number {
    return this.last.bytes[0] ?? 0;
  }

  /** The point of the curve at an index. */
  at(index: number): Allocation {
    const { bytes, loss } = this.last;
    if (index < 0 || index >= bytes.length) throw new RangeError(`The curve has ${bytes.length} points, and ${index} was asked for.`);
    const choices: number[] = [];
    for (let [step, at] = [this.steps.length - 1, index]; step >= 0; step -= 1) {
      choices.push(this.steps[step]?.choice[at] ?? 0);
      at = this.steps[step]?.from[at] ?? 0;
    }
    return { bytes: bytes[index] ?? NaN, loss: loss[index] ?? NaN, choices: choices.reverse() };
  }

  bytesAt(index: number): number {
    return this.last.bytes[index] ?? NaN;
  }

  /** The least loss within the budget; null where even the smallest schemes take more. */
  best(budgetBytes: number): Allocation | null {
    const index = this.indexWithin(budgetBytes);
    return index < 0 ? null : this.at(index);
  }

  /** Of the last point that takes at most so much; −1: none does. */
  indexWithin(budgetBytes: number): number {
    const { bytes } = this.last;
    let [low, high] = [0, bytes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((bytes[middle] ?? Infinity) <= budgetBytes) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** At most `count` points, evenly in bytes, the first and the last among them. */
  points(count: number): { bytes: number; loss: number }[] {
    const { bytes, loss } = this.last;
    const indices = new Set<number>();
    const [least, greatest] = [bytes[0] ?? 0, bytes.at(-1) ?? 0];
    let index = 0;
    for (let i = 0; i < count; i += 1) {
      const wanted = least + ((greatest - least) * i) / Math.max(1, count - 1);
      while (index + 1 < bytes.length && (bytes[index + 1] ?? Infinity) <= wanted) index += 1;
      indices.add(index);
    }
    return [...indices].map((at) => ({ bytes: bytes[at] ?? NaN, loss: loss[at] ?? NaN }));
  }

  private get last(): Frontier {
    const last = this.steps.at(-1);
    if (last === undefined) throw new AllocationError('there is no group to allocate');
    return last;
  }
}

function checkGroup({ name, candidates }: CandidateGroup): void {
  if (candidates.length === 0) throw new AllocationError(`${name} has no candidate`);
  const wrong = candidates.find(({ bytes, loss }) => !Number.isSafeInteger(bytes) || bytes < 0 || !Number.isFinite(loss));
  if (wrong !== undefined)
    throw new AllocationError(`${name} as ${wrong.scheme} has ${wrong.bytes} bytes and a loss of ${wrong.loss}, which cannot be compared`);
}

/** Every total with every candidate, merged by bytes; what is beaten is left out. This is all the work that there is: plain loops over typed arrays. */
function extended(before: Frontier, candidates: readonly Candidate[]): Frontier {
  const n = before.bytes.length;
  const n_candidates = candidates.length;
  const heads = new Int32Array(n_candidates);
  const own = { bytes: Float64Array.from(candidates, ({ bytes }) => bytes), loss: Float64Array.from(candidates, ({ loss }) => loss) };
  const [bytes, loss] = [new Float64Array(n * n_candidates), new Float64Array(n * n_candidates)];
  const [from, choice] = [new Int32Array(n * n_candidates), new Uint16Array(n * n_candidates)];
  let length = 0;
  let last = Infinity;
  for (;;) {
    let [taken, leastBytes, leastLoss] = [-1, Infinity, Infinity];
    for (let at = 0; at < n_candidates; at += 1) {
      const head = heads[at] as number;
      if (head >= n) continue;
      const total = (before.bytes[head] as number) + (own.bytes[at] as number);
      if (total > leastBytes) continue;
      const sum = (before.loss[head] as number) + (own.loss[at] as number);
      if (total === leastBytes && sum >= leastLoss) continue;
      taken = at;
      leastBytes = total;
      leastLoss = sum;
    }
    if (taken < 0) break;
    const head = heads[taken] as number;
    heads[taken] = head + 1;
    if (length > 0 && leastLoss >= last) continue;
    bytes[length] = leastBytes;
    loss[length] = last = leastLoss;
    from[length] = head;
    choice[length] = taken;
    length += 1;
  }
  return { bytes: bytes.slice(0, length), loss: loss.slice(0, length), from: from.slice(0, length), choice: choice.slice(0, length) };
}

export interface RateLayer {
  n_weights: number;
  /** α σ²: what one weight of this layer loses at 0 bits; with b bits it loses α σ² 2^(−2b). */
  alphaVariance: number;
}

/**
 * The closed form beside the exact choice: bits that need not be whole, b = max(0, ½ log₂(α σ² / λ)), with λ such that Σ n b = bits · Σ n (reverse
 * water-filling; Cover and Thomas, Elements of Information Theory, 1991, theorem 13.3.3). It knows no schemes and no scales; it shows where bits want to go.
 */
export function closedFormBits(layers: readonly RateLayer[], bitsPerWeight: number): number[] {
  const n_weights = layers.reduce((sum, layer) => sum + layer.n_weights, 0);
  const bitsAt = (logLambda: number): number[] =>
    layers.map(({ alphaVariance }) => (alphaVariance > 0 ? Math.max(0, (Math.log2(alphaVariance) - logLambda) / 2) : 0));
  const meanAt = (logLambda: number): number =>
    bitsAt(logLambda).reduce((sum, bits, at) => sum + bits * (layers[at]?.n_weights ?? 0), 0) / n_weights;
  const logs = layers.filter(({ alphaVariance }) => alphaVariance > 0).map(({ alphaVariance }) => Math.log2(alphaVariance));
  if (logs.length === 0) return layers.map(() => 0);
  // At the lower end the least of them has more than all bits asked for, times what the share of the layers without any takes.
  const share = layers.reduce((sum, { alphaVariance, n_weights: n }) => sum + (alphaVariance > 0 ? n : 0), 0) / n_weights;
  let [low, high] = [Math.min(...logs) - (2 * bitsPerWeight) / share, Math.max(...logs)];
  for (let step = 0; step < 200; step += 1) {
    const middle = (low + high) / 2;
    if (meanAt(middle) > bitsPerWeight) low = middle;
    else high = middle;
  }
  return bitsAt(high);
}
