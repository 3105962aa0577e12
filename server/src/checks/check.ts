// The contract of a check: a resolution in, problems out. One file per code, named after it; the list is all-checks.ts.
import type { Problem } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';

export interface Check {
  /** Kebab-case statement of the fault. */
  code: string;
  run(resolution: Resolution): Problem[];
}
