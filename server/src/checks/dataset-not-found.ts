// A dataset file that is not there, or is a folder.
import { datasetKind } from '../../../schemas/src/dataset/dataset-row.js';
import type { ResolvedDataset } from '../plan/resolve-dataset.js';
import type { ResolvedTaskFile } from '../plan/resolve-tasks.js';
import type { Check } from './check.js';
import { firstOf } from './first-of.js';

export const datasetNotFound: Check = {
  code: 'dataset-not-found',
  run: ({ calibration, evaluations, tasks }) =>
    [calibration, ...evaluations, ...tasks.files].flatMap((dataset) =>
      dataset?.exists !== false
        ? []
        : [{ code: 'dataset-not-found', severity: 'error', path: dataset.path, at: 'value', message: messageOf(dataset) }],
    ),
};

const mostNames = 4;

function messageOf({ plan, folder }: ResolvedDataset | ResolvedTaskFile): string {
  if (folder === null)
    return `There is no file ${plan.dataset}. Paths are relative to the recipe; registered dataset names and hub ids are not downloaded.`;
  const read = folder.filter((name) => datasetKind(name) !== null);
  const way =
    read.length === 0
      ? 'It holds no .jsonl, .txt or .csv, which are read: convert its rows to one JSON object per line'
      : `Name one of its files: ${firstOf(read, mostNames)}`;
  return `${plan.dataset} is a folder, and a dataset is one file. ${way}.`;
}
