// The column that text_column names, or its default, is not in the dataset.
import { textColumns } from '../../../schemas/src/dataset/dataset-head.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';
import { nearestName } from '../recipe/did-you-mean.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import type { Check } from './check.js';
import { datasetsOf, placeIn, type UsedDataset } from './dataset-use.js';

export const datasetColumnMissing: Check = {
  code: 'dataset-column-missing',
  run: (resolution) => datasetsOf(resolution).flatMap((dataset) => problemOf(dataset, resolution)),
};

function problemOf(dataset: UsedDataset, { document }: Resolution): Problem[] {
  const { plan, head } = dataset;
  const said: RecipePath = [...dataset.path.slice(0, -1), 'text_column'];
  const isSaid = document.has(said);
  // Where other rows have the column, a name is not what this row lacks.
  const names = dataset.head === null ? [] : textColumns(dataset.head.file).map(({ name }) => name);
  const isElsewhere = names.includes(plan.text_column);
  const meant = isElsewhere ? null : meantColumn(plan.text_column, names);
  const offered = isElsewhere ? [] : meant === null ? names.slice(0, mostOffered) : [meant];
  const problem = (severity: Problem['severity'], message: string): Problem => ({
    code: 'dataset-column-missing',
    severity,
    path: isSaid ? said : dataset.path,
    at: 'value',
    message,
    fixes: document.has(dataset.path) ? offered.map((name) => useColumn(name, said, isSaid, meant !== null)) : [],
  });
  const fault = head?.reading.fault ?? null;
  if (fault?.columns) {
    const turns = fault.columns.includes('conversations')
      ? ' conversations is not read: write its turns as messages, or rendered into a text.'
      : '';
    return [
      problem(
        dataset.severity,
        `${placeIn(dataset, fault.line)}: ${fault.detail}. A run stops there.${turns}${isElsewhere ? ` Other rows have ${plan.text_column}: repair the line, or remove it.` : meant === null ? ' Set text_column to the column that holds the text.' : ` Did you mean text_column: ${meant}?`}`,
      ),
    ];
  }
  const instead = isSaid && plan.text_column !== 'text' ? insteadOfText(dataset) : null;
  if (instead === null) return [];
  return [
    problem(
      'warning',
      `None of the first rows of ${plan.dataset} has ${plan.text_column} (text_column), so their ${instead} are read instead. ${meant === null ? 'Remove text_column, or name a column that is there.' : `Did you mean ${meant}?`}`,
    ),
  ];
}

/** What all rows fall back on; null where some row has the column. */
function insteadOfText({ head, plan }: UsedDataset): string | null {
  const rows = head?.file.rows ?? [];
  if (rows.length === 0 || rows.some((row) => row.kind !== 'object' || row.value[plan.text_column] !== undefined)) return null;
  const [first] = head?.reading.rows ?? [];
  return first === undefined ? null : 'input_ids' in first ? 'input_ids' : 'messages';
}

/** A slip of a name, or the only text that there is. */
const meantColumn = (said: string, names: readonly string[]): string | null =>
  nearestName(said, names) ?? (names.length === 1 ? (names[0] ?? null) : null);

/** Of columns that do not resemble the name. */
const mostOffered = 4;

const useColumn = (name: string, path: RecipePath, isSaid: boolean, preferred: boolean): ProblemFix => ({
  title: `Set text_column: ${name}`,
  preferred,
  edits: [
    isSaid
      ? { kind: 'replace-value', path, text: yamlScalar(name) }
      : { kind: 'insert-key', path: path.slice(0, -1), key: 'text_column', text: yamlScalar(name) },
  ],
});
