// Sets of integers that a scheme may name instead of all of num_bits: what they are, what they need, how much a code can say.
import type { QuantizationArgs } from './generated/plan.js';

export type Levels = NonNullable<QuantizationArgs['levels']>;

export interface LevelsFacts {
  /** Least num_bits that hold them. */
  least_bits: number;
  /** Number of values. */
  count(num_bits: number): number;
  /** Each is one more than the one before, as solvers other than GPTQ reckon. */
  has_even_steps: boolean;
  /** The mean magnitude may be their scale. */
  absmean: boolean;
  /** Observer of the weights that say none. */
  observer: 'absmean' | 'memoryless_mse' | 'memoryless_minmax';
  /** Its settings where the weights say neither: the best scale of three levels is far below their largest magnitude. */
  observer_kwargs: Readonly<Record<string, number>>;
  /** Ascending. */
  values(num_bits: number): number[];
}

const fixed = (values: number[]): Pick<LevelsFacts, 'count' | 'values'> => ({ count: () => values.length, values: () => values });
const powers = (num_bits: number): number[] => Array.from({ length: num_bits - 1 }, (_, exponent) => 2 ** exponent);

export const levelsFacts: Readonly<Record<Levels, LevelsFacts>> = {
  ternary: {
    least_bits: 2,
    has_even_steps: true,
    absmean: true,
    observer: 'memoryless_mse',
    observer_kwargs: { maxshrink: 0.8 },
    ...fixed([-1, 0, 1]),
  },
  binary: { least_bits: 2, has_even_steps: false, absmean: true, observer: 'absmean', observer_kwargs: {}, ...fixed([-1, 1]) },
  six: {
    least_bits: 4,
    has_even_steps: false,
    absmean: false,
    observer: 'memoryless_minmax',
    observer_kwargs: {},
    ...fixed([-5, -3, -1, 1, 3, 5]),
  },
  power_of_two: {
    least_bits: 3,
    has_even_steps: false,
    absmean: false,
    observer: 'memoryless_minmax',
    observer_kwargs: {},
    count: (num_bits) => 2 * num_bits - 1,
    values: (num_bits) => [
      ...powers(num_bits)
        .map((value) => -value)
        .reverse(),
      0,
      ...powers(num_bits),
    ],
  },
};

/** log2 of the number of values that a code may have. */
export const informationBits = ({ num_bits, levels }: Pick<QuantizationArgs, 'num_bits' | 'levels'>): number =>
  levels === undefined ? num_bits : Math.log2(levelsFacts[levels].count(num_bits));

/** The same grid with every integer; the mean magnitude is no scale for that. */
export function withoutLevels(args: QuantizationArgs): QuantizationArgs {
  const { levels, observer, ...rest } = args;
  return levels === undefined ? args : { ...rest, observer: observer === 'absmean' ? 'memoryless_minmax' : observer };
}
