// Columns of the dataset that stands beside text_column, read from the head of its file.
import { textColumns } from '../../../schemas/src/dataset/dataset-head.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import { literal, type CompletionEntry } from './completion-entry.js';
import type { RecipeCursor } from './recipe-cursor.js';

/** What completion looks at of a resolution. */
export type RecipeDatasets = Pick<Resolution, 'calibration' | 'evaluations'>;

const sampleLength = 60;

export const wantsColumn = (path: RecipePath): boolean =>
  ['calibration.text_column', 'evaluate.perplexity.text_column', 'evaluate.kl_divergence.text_column'].includes(path.join('.'));

/** Only columns with texts: a run refuses others. */
export function completeColumns({ path, quoted }: RecipeCursor, datasets: RecipeDatasets): CompletionEntry[] {
  const section = path.slice(0, -1).join('.');
  const named = [datasets.calibration, ...datasets.evaluations];
  const head = named.find((dataset) => dataset?.path.slice(0, -1).join('.') === section)?.head ?? null;
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
