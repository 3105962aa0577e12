// What resolving a recipe asks of the outside: where its paths begin, files, models, heads of datasets.
import path from 'node:path';
import { readDatasetHead } from '../../../schemas/src/dataset/dataset-head.js';
import type { DatasetHead } from '../../../schemas/src/dataset/dataset-head.js';
import type { DescribeModelAnswer } from '../../../schemas/src/model/describe-model.js';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';

export interface ResolveContext {
  /** Path of the recipe file; null for text that is not saved yet. */
  recipePath: string | null;
  /** Folder that relative paths in the recipe start from; null for text that is not saved, where they mean nothing yet. */
  baseDir: string | null;
  files: ModelFiles;
  environment: NodeJS.ProcessEnv;
  describe(dir: string): Promise<DescribeModelAnswer>;
  /** Bytes that a run into a folder, which may not exist yet, can use there; null or absent: not known. */
  freeBytes?(dir: string): Promise<number | null>;
  /** Where heads of datasets are kept between key presses; else they are read anew. */
  readHead?(file: string): Promise<DatasetHead | null>;
  overrides?: { model?: string; dataset?: string; output_dir?: string; device?: string };
}

/** null for a relative path in a recipe that is not saved. */
export function absolutePath({ baseDir }: ResolveContext, named: string): string | null {
  if (path.isAbsolute(named)) return path.resolve(named);
  return baseDir === null ? null : path.resolve(baseDir, named);
}

export const readHeadOf = (context: ResolveContext, file: string): Promise<DatasetHead | null> =>
  context.readHead?.(file) ?? readDatasetHead(file, context.files.readRange);
