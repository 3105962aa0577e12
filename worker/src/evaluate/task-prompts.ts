// Questions → prompts, to the character as lm-eval's tasks write them (mmlu, mmlu_continuation, gsm8k; its version 0.4.13).
//
// A prompt is description, then examples (question, space, answer, empty line), then the question. What is scored or expected stands behind a space.
import { letters, type ChoiceRow, type QuestionRow } from '../../../schemas/src/dataset/task-row.js';

export interface ChoicePrompt {
  context: string;
  /** As scored, each behind a space. */
  continuations: string[];
  /** Characters (code points) of each choice: what acc_norm divides by. */
  lengths: number[];
  answer: number;
}

type Answers = 'letters' | 'texts';

export function choicePrompts(
  rows: readonly ChoiceRow[],
  examples: readonly ChoiceRow[],
  description: string,
  answers: Answers,
): ChoicePrompt[] {
  const optionsOf = ({ choices }: ChoiceRow): string[] =>
    answers === 'letters' ? choices.map((_, index) => letters.charAt(index)) : choices;
  const shown = examples.map((row) => `${choiceQuestion(row, answers)} ${optionsOf(row)[row.answer]}\n\n`).join('');
  return rows.map((row) => {
    const options = optionsOf(row);
    return {
      context: `${description}${shown}${choiceQuestion(row, answers)}`,
      continuations: options.map((option) => ` ${option}`),
      lengths: options.map((option) => [...option].length),
      answer: row.answer,
    };
  });
}

function choiceQuestion({ question, choices }: ChoiceRow, answers: Answers): string {
  if (answers === 'texts') return `Question: ${stripped(question)}\nAnswer:`;
  return [stripped(question), ...choices.map((choice, index) => `${letters.charAt(index)}. ${choice}`), 'Answer:'].join('\n');
}

/** As Python's str.strip(), for which a byte order mark is no space. */
const stripped = (text: string): string => text.replace(/^[^\S\ufeff]+|[^\S\ufeff]+$/g, '');

export const generationStops: readonly string[] = ['Question:', '</s>', '<|im_end|>'];

export function generationPrompts(rows: readonly QuestionRow[], examples: readonly QuestionRow[], description: string): string[] {
  const shown = examples.map(({ question, answer }) => `Question: ${question}\nAnswer: ${answer}\n\n`).join('');
  return rows.map(({ question }) => `${description}${shown}Question: ${question}\nAnswer:`);
}
