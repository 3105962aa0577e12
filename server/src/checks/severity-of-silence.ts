// How severe it is that a recipe silently does nothing, or not what it says: what several checks share.
import type { ProblemSeverity } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';

/**
 * A recipe that names no place for its result is one of llm-compressor, and judged as that treats it: it would run. With such a place it is
 * a job of ours, and a job that does nothing is not started.
 */
export const severityOfSilence = ({ outputDir }: Resolution): ProblemSeverity => (outputDir === null ? 'warning' : 'error');
