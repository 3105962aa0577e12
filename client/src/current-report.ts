// Whether the report of the last run still tells what a run would find: recipe, model and texts are what they were.
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { RunReport } from '../../schemas/src/generated/report.js';
import { readReportFile } from './report-history.js';
import { readLock } from './verify-run.js';

/** null where it does not, or the checkpoint is gone. */
export async function currentReport(plan: QuantizationPlan, dir: string): Promise<RunReport | null> {
  const report = await readReportFile(path.join(dir, 'report.json'));
  if (report?.outcome !== 'completed' || report.recipe.sha256 !== plan.recipe.sha256 || !existsSync(plan.output.dir)) return null;
  const read = await readLock(dir);
  if ('reason' in read) return null;
  const { model, calibration } = read.lock.plan as unknown as QuantizationPlan;
  const facts = (of: Pick<QuantizationPlan, 'model' | 'calibration'>): string =>
    JSON.stringify([of.model.dir, of.model.files, of.calibration?.dataset, of.calibration?.bytes]);
  if (facts({ model, calibration }) !== facts(plan)) return null;
  const began = Date.parse(report.started_at);
  for (const file of readBy(plan))
    if (
      !(await stat(file)
        .then(({ ctimeMs }) => ctimeMs < began)
        .catch(() => false))
    )
      return null;
  return report;
}

function readBy({ model, calibration, evaluate }: QuantizationPlan): string[] {
  const { perplexity, kl_divergence, multiple_choice, generation } = evaluate ?? {};
  return [
    ...[...model.files.map(({ name }) => name), ...model.side_files].map((name) => path.join(model.dir, name)),
    ...[calibration, perplexity, kl_divergence].flatMap((text) => text?.dataset ?? []),
    ...[multiple_choice, generation].flatMap((task) => [task?.dataset, task?.fewshot_dataset].flatMap((text) => text?.file ?? [])),
  ];
}
