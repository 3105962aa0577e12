// What is asked of an analysis, where it stands, and what decides its figures.
import { createHash } from 'node:crypto';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { DatasetPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { stateOfModel } from '../jobs/model-state.js';
import { hashOfWork } from '../jobs/run-journal.js';
import type { Device } from '../tensor/tensor.js';
import type { AskedAnalysis } from './check-analysis.js';

export interface AnalysisWatch {
  onProgress(fraction: number, message: string): void;
  /** At the moment when it is found. */
  onProblem?(problem: RunProblem): void;
  throwIfCancelled(): void;
}

export interface AnalysisInput extends AskedAnalysis {
  /** Keep each quantized weight, so that any mix of them can be measured at once. */
  keepWeights: boolean;
  device: Device;
  kind: 'cpu' | 'cuda';
  version: string;
  watch: AnalysisWatch;
}

export const analysisDir = (plan: QuantizationPlan): string => `${plan.output.dir}.analysis`;

/** Hash of what decides the figures of an analysis. */
export const analysisWork = async (
  plan: QuantizationPlan,
  text: DatasetPlan | null,
  kind: 'cpu' | 'cuda',
  version: string,
): Promise<string> =>
  createHash('sha256')
    .update(JSON.stringify([hashOfWork(plan, kind, version), text, await stateOfModel(plan.model)]))
    .digest('hex');
