// What a row of a task file is: one rule for the server, which looks at the head of a file, and for the worker, which reads all of it.
//
// Multiple choice: the records of MMLU's .csv files (question, two to 26 choices, letter of the answer, no header) or JSON objects with question,
// choices and answer. Generation: JSON objects with question and answer, the answer ending in "#### 42" as in GSM8K.
import type { RowFault } from './dataset-row.js';

export interface ChoiceRow {
  question: string;
  choices: string[];
  /** Index of the right choice. */
  answer: number;
}

export interface QuestionRow {
  question: string;
  /** The worked answer with "#### " and the number at its end. */
  answer: string;
}

export type TaskKind = 'multiple_choice' | 'generation';

/** Endings that a task reads. */
export const taskEndings: Record<TaskKind, readonly string[]> = { multiple_choice: ['.csv', '.jsonl'], generation: ['.jsonl'] };

export const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** A first record that names its columns, as some exports have it. */
export const isTaskHeader = (record: readonly string[]): boolean => record.at(-1)?.trim().toLowerCase() === 'answer';

export function choiceOfRecord(record: readonly string[]): ChoiceRow | RowFault {
  const [question, ...rest] = record;
  const choices = rest.slice(0, -1);
  if (question === undefined || choices.length < 2)
    return fault(`the row has ${record.length} columns, and a question has at least 4: question, two choices, letter of the answer`);
  return choiceRow(question, choices, (rest.at(-1) ?? '').trim());
}

export function choiceOfObject({ question, choices, answer }: Readonly<Record<string, unknown>>): ChoiceRow | RowFault {
  if (typeof question !== 'string') return fault('question is missing or is not a text');
  if (!Array.isArray(choices) || choices.length < 2 || !choices.every((choice) => typeof choice === 'string'))
    return fault('choices is missing or is not a list of at least two texts');
  return choiceRow(question, choices, answer);
}

function choiceRow(question: string, choices: string[], answer: unknown): ChoiceRow | RowFault {
  if (choices.length > letters.length)
    return fault(`the row has ${choices.length} choices, and there are ${letters.length} letters for them`);
  const index = typeof answer === 'string' && /^[A-Z]$/.test(answer) ? letters.indexOf(answer) : answer;
  if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= choices.length)
    return fault(
      `the answer ${JSON.stringify(answer) ?? 'is missing and'} is none of ${letters.slice(0, choices.length).split('').join(', ')} (or their index from 0)`,
    );
  return { question, choices, answer: index };
}

/** The number behind the last ####. */
const markedAnswer = /#### *-?[$0-9.,]*[0-9]/;

export function questionOfObject({ question, answer }: Readonly<Record<string, unknown>>): QuestionRow | RowFault {
  if (typeof question !== 'string') return fault('question is missing or is not a text');
  if (typeof answer !== 'string') return fault('answer is missing or is not a text');
  if (!markedAnswer.test(answer)) return fault('answer does not end in #### and a number, so that there is nothing to compare with');
  return { question, answer };
}

const fault = (detail: string): RowFault => ({ detail, columns: null });
