// Rows of a task file: questions with their answers, in file order; what cannot be read is told with its line.
import { readFile, stat } from 'node:fs/promises';
import { CsvError, parse } from 'csv-parse/sync';
import { csvOptions, decodeLine, parseJsonLine, type RowFault } from '../../../schemas/src/dataset/dataset-row.js';
import {
  choiceOfObject,
  choiceOfRecord,
  isTaskHeader,
  questionOfObject,
  taskEndings,
  type ChoiceRow,
  type QuestionRow,
} from '../../../schemas/src/dataset/task-row.js';
import type { TaskFile } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';

export const readChoices = (file: TaskFile): Promise<ChoiceRow[]> =>
  readTask(file, 'multiple_choice', (path, bytes) =>
    path.toLowerCase().endsWith('.csv') ? csvRows(path, bytes) : jsonRows(path, bytes, choiceOfObject),
  );

export const readQuestions = (file: TaskFile): Promise<QuestionRow[]> =>
  readTask(file, 'generation', (path, bytes) => jsonRows(path, bytes, questionOfObject));

/** Solved examples: as many as are asked for, never silently fewer. */
export async function readExamples<T>(file: TaskFile | null, count: number, read: (file: TaskFile) => Promise<T[]>): Promise<T[]> {
  if (file === null || count === 0) return [];
  const rows = await read(file);
  if (rows.length < count)
    throw runFailure.datasetInvalid(file.file, null, `it has ${rows.length} questions, and num_fewshot asks for ${count}`);
  return rows.slice(0, count);
}

/** Task files are small (all of MMLU is 7 MB), and are read at once. */
async function readTask<T>(
  { file, bytes }: TaskFile,
  kind: keyof typeof taskEndings,
  rowsOf: (file: string, bytes: Buffer) => T[],
): Promise<T[]> {
  if (!taskEndings[kind].some((ending) => file.toLowerCase().endsWith(ending)))
    throw runFailure.datasetInvalid(file, null, `${kind} reads ${taskEndings[kind].join(' and ')}`);
  const unreadable = (error: NodeJS.ErrnoException): never => {
    throw runFailure.fileUnreadable(file, error.message);
  };
  const { size } = await stat(file).catch(unreadable);
  if (size !== bytes) throw runFailure.modelFileChanged(file, `it has ${size} bytes and had ${bytes}`);
  const rows = rowsOf(file, await readFile(file).catch(unreadable));
  if (rows.length === 0) throw runFailure.datasetInvalid(file, null, 'it has no question');
  return rows;
}

function sound<T extends object>(found: T | RowFault, file: string, line: number): T {
  if ('detail' in found) throw runFailure.datasetInvalid(file, line, found.detail);
  return found;
}

function jsonRows<T extends object>(file: string, bytes: Buffer, rowOf: (value: Readonly<Record<string, unknown>>) => T | RowFault): T[] {
  const rows: T[] = [];
  let [begin, line] = [0, 0];
  while (begin < bytes.length) {
    const end = bytes.indexOf(0x0a, begin);
    line += 1;
    const { content } = sound(decodeLine(line, bytes.subarray(begin, end < 0 ? undefined : end), end < 0 ? '' : '\n'), file, line);
    if (content.trim() !== '') rows.push(sound(rowOf(sound(parseJsonLine(content), file, line).value), file, line));
    begin = end < 0 ? bytes.length : end + 1;
  }
  return rows;
}

function csvRows(file: string, bytes: Buffer): ChoiceRow[] {
  const { content } = sound(decodeLine(1, bytes, ''), file, 1);
  let records: { record: string[]; info: { lines: number } }[];
  try {
    records = parse(content, { ...csvOptions, info: true }) as unknown as typeof records;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw runFailure.datasetInvalid(file, null, error.message.replace(/\.$/, ''));
  }
  const [first] = records;
  const questions = first !== undefined && isTaskHeader(first.record) ? records.slice(1) : records;
  return questions.map(({ record, info }) => sound(choiceOfRecord(record), file, info.lines));
}
