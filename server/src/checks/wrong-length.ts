// A list that must have one value for each module that the targets match.
import type { Check } from './check.js';
import { pruningProblems } from './pruning-targets.js';

export const wrongLength: Check = {
  code: 'wrong-length',
  run: (resolution) => pruningProblems(resolution).filter(({ code }) => code === 'wrong-length'),
};
