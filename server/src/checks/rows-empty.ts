// Rows without text: a run passes the model their BOS token alone, or leaves them out where there is none.
import type { Check } from './check.js';
import { datasetsOf } from './dataset-use.js';

export const rowsEmpty: Check = {
  code: 'rows-empty',
  run: (resolution) =>
    datasetsOf(resolution).flatMap(({ path, plan, head }) => {
      const rows = head?.reading.rows ?? [];
      const empty = rows.filter((row) => ('text' in row ? row.text.trim() === '' : row.input_ids.length === 0));
      const [first] = empty;
      if (first === undefined) return [];
      return [
        {
          code: 'rows-empty',
          severity: 'warning' as const,
          path,
          at: 'value' as const,
          message: `${empty.length} of the first ${rows.length} rows of ${plan.dataset} ${empty.length === 1 ? 'has' : 'have'} no text, line ${first.line} first. They count among the rows that are used, and show the model its BOS token at most. Remove them from the dataset.`,
        },
      ];
    }),
};
