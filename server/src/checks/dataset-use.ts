// What the checks of datasets share: which of them a run reads, and in which words a place in one is named.
import type { ProblemSeverity } from '../../../schemas/src/problem.js';
import { canaryOf } from '../plan/resolve-canary.js';
import { needsCalibration } from '../plan/needs-calibration.js';
import type { Resolution } from '../plan/resolution.js';
import type { ResolvedDataset } from '../plan/resolve-dataset.js';

export interface UsedDataset extends ResolvedDataset {
  /** Of what would stop a run: rows for calibration that no modifier needs are never read. */
  severity: ProblemSeverity;
}

export function datasetsOf(resolution: Resolution): UsedDataset[] {
  const { calibration, evaluations } = resolution;
  const used: UsedDataset[] = [];
  const isRead = needsCalibration(resolution) !== null || canaryOf(resolution)?.text === calibration;
  if (calibration !== null) used.push({ ...calibration, severity: isRead ? 'error' : 'warning' });
  for (const evaluation of evaluations) used.push({ ...evaluation, severity: 'error' });
  return used;
}

export const placeIn = ({ plan }: ResolvedDataset, line: number | null): string =>
  line === null ? plan.dataset : `${plan.dataset}, line ${line}`;
