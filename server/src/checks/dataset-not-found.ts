// A dataset file that is not there.
import type { Check } from './check.js';

export const datasetNotFound: Check = {
  code: 'dataset-not-found',
  run: ({ calibration, evaluation }) =>
    [calibration, evaluation].flatMap((dataset) =>
      dataset?.exists !== false
        ? []
        : [
            {
              code: 'dataset-not-found',
              severity: 'error',
              path: dataset.path,
              at: 'value',
              message: `There is no file ${dataset.plan.dataset}. Paths are relative to the recipe; registered dataset names and hub ids are not downloaded.`,
            },
          ],
    ),
};
