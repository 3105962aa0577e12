// An ignore entry that matches no module: silent in llm-compressor, and what was to be spared is quantized.
import type { Check } from './check.js';
import { patternMatchesNothing } from './pattern-matches-nothing.js';
import { pruningProblems } from './pruning-targets.js';

export const ignoreMatchesNothing: Check = {
  code: 'ignore-matches-nothing',
  run: (resolution) => [
    ...patternMatchesNothing(resolution, 'ignore', 'warning'),
    ...pruningProblems(resolution).filter(({ code }) => code === 'ignore-matches-nothing'),
  ],
};
