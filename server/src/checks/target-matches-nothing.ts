// A target that matches no module: llm-compressor logs a line and goes on without it.
import type { Check } from './check.js';
import { patternMatchesNothing } from './pattern-matches-nothing.js';
import { pruningProblems } from './pruning-targets.js';
import { severityOfSilence } from './severity-of-silence.js';

export const targetMatchesNothing: Check = {
  code: 'target-matches-nothing',
  run: (resolution) => [
    ...patternMatchesNothing(resolution, 'target', severityOfSilence(resolution)),
    ...pruningProblems(resolution).filter(({ code }) => code === 'target-matches-nothing'),
  ],
};
