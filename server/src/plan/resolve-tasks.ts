// The tasks of `evaluate`, whose rows are questions: which files they read, whether those are there, and whether their first rows are questions.
import type { DatasetHead } from '../../../schemas/src/dataset/dataset-head.js';
import {
  choiceOfObject,
  choiceOfRecord,
  isTaskHeader,
  questionOfObject,
  taskEndings,
  type TaskKind,
} from '../../../schemas/src/dataset/task-row.js';
import type { GenerationPlan, MultipleChoicePlan, TaskFile } from '../../../schemas/src/generated/plan.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { coerceTo, integerOf, mappingOf, textOf } from '../recipe/coerce.js';

/** A file with questions that a task names: its own, or that of its solved examples. */
export interface ResolvedTaskFile {
  kind: TaskKind;
  path: RecipePath;
  plan: { dataset: string; bytes: number };
  /** null: not known, as the recipe is not saved and the path is relative. */
  exists: boolean | null;
  /** The names in it, where it is a folder. */
  folder: readonly string[] | null;
  /** Its ending is not read. */
  hasOtherEnding: boolean;
  /** The first row that is no question, of those in the head of the file. */
  fault: { line: number | null; detail: string } | null;
}

export interface ResolvedTasks {
  files: readonly ResolvedTaskFile[];
  multipleChoice: MultipleChoicePlan | null;
  generation: GenerationPlan | null;
}

/** What it asks of the outside. */
export interface TaskFiles {
  absolutePath(named: string): string | null;
  size(file: string): Promise<number | null>;
  list(dir: string): Promise<readonly string[] | null>;
  readHead(file: string): Promise<DatasetHead | null>;
}

export async function resolveTasks(evaluate: unknown, outside: TaskFiles): Promise<ResolvedTasks> {
  const fields = mappingOf(evaluate);
  const files: ResolvedTaskFile[] = [];
  const common = async (kind: TaskKind, task: Readonly<Record<string, unknown>>) => {
    const found = async (key: string): Promise<TaskFile | null> => {
      const named = coerceTo('string', task[key]);
      if (typeof named !== 'string') return null;
      const file = await resolveFile(kind, ['evaluate', kind, key], named, outside);
      files.push(file);
      return { file: file.plan.dataset, bytes: file.plan.bytes };
    };
    const dataset = await found('dataset');
    if (dataset === null) return null;
    const wanted = integerOf(task['num_fewshot'], 0);
    const examples = await found('fewshot_dataset');
    return {
      dataset,
      num_samples: (coerceTo('integer', task['num_samples']) as number | undefined) ?? null,
      description: textOf(task['description'], ''),
      num_fewshot: examples === null ? 0 : wanted,
      fewshot_dataset: wanted === 0 ? null : examples,
    };
  };
  const [choices, questions] = [mappingOf(fields['multiple_choice']), mappingOf(fields['generation'])];
  const multiple = await common('multiple_choice', choices);
  const generated = await common('generation', questions);
  return {
    files,
    multipleChoice: multiple && { ...multiple, answers: choices['answers'] === 'texts' ? 'texts' : 'letters' },
    generation: generated && { ...generated, max_gen_toks: integerOf(questions['max_gen_toks'], 256) },
  };
}

async function resolveFile(kind: TaskKind, path: RecipePath, named: string, outside: TaskFiles): Promise<ResolvedTaskFile> {
  const file = outside.absolutePath(named);
  const bytes = file === null ? null : await outside.size(file);
  const hasOtherEnding = !taskEndings[kind].some((ending) => named.toLowerCase().endsWith(ending));
  const head = file === null || bytes === null || hasOtherEnding ? null : await outside.readHead(file);
  return {
    kind,
    path,
    plan: { dataset: file ?? named, bytes: bytes ?? 0 },
    exists: file === null ? null : bytes !== null,
    folder: file === null || bytes !== null ? null : await outside.list(file),
    hasOtherEnding,
    fault: head && faultOf(kind, head),
  };
}

function faultOf(kind: TaskKind, head: DatasetHead): ResolvedTaskFile['fault'] {
  // What a file of texts takes for its header is a question here.
  if (head.kind === 'csv' && head.columns.length > 0 && !isTaskHeader(head.columns)) {
    const first = choiceOfRecord(head.columns);
    if ('detail' in first) return { line: 1, detail: first.detail };
  }
  for (const row of head.rows) {
    const read =
      row.kind === 'record'
        ? choiceOfRecord(row.record)
        : row.kind === 'object'
          ? rowOfObject(kind, row.value)
          : { detail: 'it is a text' };
    if ('detail' in read) return { line: row.line, detail: read.detail };
  }
  if (head.fault !== null) return { line: head.fault.line, detail: head.fault.detail };
  const isEmpty =
    head.isWhole && head.rows.length === 0 && (head.kind !== 'csv' || head.columns.length === 0 || isTaskHeader(head.columns));
  return isEmpty ? { line: null, detail: 'it has no question' } : null;
}

const rowOfObject = (kind: TaskKind, value: Readonly<Record<string, unknown>>) =>
  kind === 'multiple_choice' ? choiceOfObject(value) : questionOfObject(value);
