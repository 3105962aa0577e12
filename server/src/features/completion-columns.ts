// Columns of the dataset that stands beside text_column, read from the head of its file.
import { textColumns } from '../../../schemas/src/dataset/dataset-head.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import { literal, type CompletionEntry } from './completion-entry.js';
import type { RecipeCursor } from './recipe-cursor.js';

/** What completion looks at of a resolution. */
export type RecipeDatasets = Pick<Resolution, 'calibration' | 'evaluation'>;

const sampleLength = 60;

const sectionOf = (path: RecipePath): keyof RecipeDatasets | null => {
  const key = path.join('.');
  return key === 'calibration.text_column' ? 'calibration' : key === 'evaluate.perplexity.text_column' ? 'evaluation' : null;
};

export const wantsColumn = (path: RecipePath): boolean => sectionOf(path) !== null;

/** Only columns with texts: a run refuses others. */
export function completeColumns({ path, quoted }: RecipeCursor, datasets: RecipeDatasets): CompletionEntry[] {
  const section = sectionOf(path);
  const head = section === null ? null : (datasets[section]?.head ?? null);
  if (head === null) return [];
  return (
    textColumns(head.file)
      // What would end the quotes that stand there is not offered in them.
      .filter(({ name }) => !quoted || !/["'\\]/.test(name))
      .map(({ name, sample }) => ({
        label: name,
        kind: 'value',
        detail: shortened(sample),
        snippet: literal(quoted ? name : yamlScalar(name)),
      }))
  );
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  const characters = [...line.slice(0, 2 * sampleLength)];
  return characters.length > sampleLength ? `${characters.slice(0, sampleLength).join('')}…` : line;
}
