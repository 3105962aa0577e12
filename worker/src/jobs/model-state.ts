// Where the files of a model lie, their sizes and when they were last changed. The plan knows headers alone: a model and what was fine-tuned from it have
// the same, and what is finished of one must not become part of the other.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';

interface FileState {
  name: string;
  bytes: number;
  /** Milliseconds since 1970. */
  modified: number;
}

/** Every file of weights, then what makes tokens of texts; the plan has what it needs of the configs, and others are copied alone. */
export const stateOfModel = ({ dir, files, side_files }: ModelDescription): Promise<FileState[]> =>
  Promise.all(
    [...files.map(({ name }) => name), ...side_files.filter((name) => /^(tokenizer|chat_template)/.test(name))].map(async (file) => {
      const name = path.join(dir, file);
      const { size, mtimeMs } = await stat(name).catch((error: NodeJS.ErrnoException) => {
        throw runFailure.fileUnreadable(name, error.message);
      });
      return { name, bytes: size, modified: mtimeMs };
    }),
  );

export type ModelState = Awaited<ReturnType<typeof stateOfModel>>;

/** The first file that was not the same then; null where none is. */
export const changedFile = (before: ModelState, now: ModelState): string | null =>
  now.find((file) => !before.some((old) => old.name === file.name && old.bytes === file.bytes && old.modified === file.modified))?.name ??
  null;
