// A dataset file that is there and is not what its name says, seen at its head: a run stops at the first line that is no row.
import { datasetKind } from '../../../schemas/src/dataset/dataset-row.js';
import { taskEndings } from '../../../schemas/src/dataset/task-row.js';
import type { Problem, ProblemSeverity, RecipePath } from '../../../schemas/src/problem.js';
import type { ResolvedTaskFile } from '../plan/resolve-tasks.js';
import type { Check } from './check.js';
import { datasetsOf, placeIn, type UsedDataset } from './dataset-use.js';

export const datasetUnreadable: Check = {
  code: 'dataset-unreadable',
  run: (resolution) => [
    ...datasetsOf(resolution).flatMap((dataset) => problemOf(dataset.path, dataset.severity, reasonOf(dataset))),
    ...resolution.tasks.files.flatMap((file) => problemOf(file.path, 'error', reasonOfTask(file))),
  ],
};

const problemOf = (path: RecipePath, severity: ProblemSeverity, message: string | null): Problem[] =>
  message === null ? [] : [{ code: 'dataset-unreadable', severity, path, at: 'value', message }];

function reasonOfTask({ kind, plan, exists, hasOtherEnding, fault }: ResolvedTaskFile): string | null {
  if (exists === false) return null;
  const form =
    kind === 'multiple_choice'
      ? 'a .csv with question, choices and the letter of the answer, without a header, or a .jsonl with question, choices and answer'
      : 'a .jsonl with question and answer, the answer ending in #### and the number';
  if (hasOtherEnding) return `${plan.dataset} is none of ${taskEndings[kind].join(', ')}, which ${kind} reads. Convert it: ${form}.`;
  if (exists === true && plan.bytes === 0) return `${plan.dataset} is empty. Give it questions: ${form}.`;
  if (fault === null) return null;
  const place = fault.line === null ? plan.dataset : `${plan.dataset}, line ${fault.line}`;
  return `${place}: ${fault.detail}. A run stops there. ${kind} reads ${form}.`;
}

function reasonOf(dataset: UsedDataset): string | null {
  const { plan, exists, head } = dataset;
  if (exists === false) return null;
  if (datasetKind(plan.dataset) === null)
    return /\.parquet$/i.test(plan.dataset)
      ? `${plan.dataset} is a Parquet file, which is not read yet; .jsonl, .txt and .csv are. Convert it: one JSON object per line with the text in ${plan.text_column}.`
      : `${plan.dataset} is none of .jsonl, .txt, .csv, which are read. Convert it: one JSON object per line with the text in ${plan.text_column}.`;
  if (exists === true && plan.bytes === 0) return `${plan.dataset} is empty. Give it rows.`;
  const fault = head?.reading.fault ?? null;
  // Of a column that is missing dataset-column-missing speaks.
  if (fault === null || fault.columns !== null) return null;
  return `${placeIn(dataset, fault.line)}: ${fault.detail}. ${fault.line === null ? 'No row of it can be used. Repair the file, or name another.' : 'A run stops there. Repair the line, or remove it.'}`;
}
