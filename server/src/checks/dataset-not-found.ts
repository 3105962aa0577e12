// A dataset file that is not there, is empty, or is of a kind that is not read.
import type { Problem } from '../../../schemas/src/problem.js';
import type { ResolvedDataset } from '../plan/resolution.js';
import type { Check } from './check.js';

export const datasetNotFound: Check = {
  code: 'dataset-not-found',
  run: ({ calibration, evaluation }) => [calibration, evaluation].flatMap((dataset) => (dataset === null ? [] : problemOf(dataset))),
};

function problemOf({ path, plan, exists }: ResolvedDataset): Problem[] {
  const problem = (message: string): Problem[] => [{ code: 'dataset-not-found', severity: 'error', path, at: 'value', message }];
  if (exists === false)
    return problem(
      `There is no file ${plan.dataset}. Paths are relative to the recipe; registered dataset names and hub ids are not downloaded.`,
    );
  if (!/\.(jsonl|txt|csv)$/i.test(plan.dataset))
    return problem(
      `${plan.dataset} is none of .jsonl, .txt, .csv, which are read. Convert it: one JSON object per line with the text in ${plan.text_column}.`,
    );
  return exists === true && plan.bytes === 0 ? problem(`${plan.dataset} is empty. Give it rows.`) : [];
}
