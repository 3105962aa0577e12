// What is said of the files with questions that evaluate names: whether they are there, whether their rows are questions, and examples without a file.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const recipe = (evaluate: string): string =>
  `model: model\nevaluate: ${evaluate}\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}}}\n`;

function problemsOf(evaluate: string, files: Record<string, string> = {}): Promise<ProblemWithRange[]> {
  return inFolder({ model: tinyLlama({}) }, async (dir) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
    return (await checkIn(dir, recipe(evaluate))).problems;
  });
}

const told = (problems: readonly ProblemWithRange[]): string[] => problems.map(({ code, severity }) => `${severity} ${code}`);

const choices = 'What is 1 + 1?,1,2,3,4,B\n"Which, of them?",a,b,c,d,A\n';
const questions = '{"question": "How many?", "answer": "One and one.\\n#### 2"}\n';

test('sound tasks are not spoken of', async () => {
  const files = {
    'q.csv': choices,
    'q.jsonl': questions,
    'c.jsonl': '{"question":"?","choices":["a","b"],"answer":"B"}\n',
    'h.csv': `question,a,b,c,d,answer\n${choices}`,
  };
  for (const evaluate of [
    '{multiple_choice: {dataset: q.csv}}',
    '{multiple_choice: {dataset: h.csv, answers: texts}}',
    '{multiple_choice: {dataset: c.jsonl, num_fewshot: 1, fewshot_dataset: q.csv}}',
    '{generation: {dataset: q.jsonl, max_gen_toks: 16}}',
  ])
    assert.deepEqual(told(await problemsOf(evaluate, files)), [], evaluate);
});

test('what a run would refuse is told on the line, with the place in the file', async () => {
  const cases: [string, Record<string, string>, string, RegExp][] = [
    ['{multiple_choice: {dataset: q.csv}}', {}, 'error dataset-not-found', /There is no file .*q\.csv/],
    [
      '{multiple_choice: {dataset: q.txt}}',
      { 'q.txt': 'a' },
      'error dataset-unreadable',
      /none of \.csv, \.jsonl, which multiple_choice reads/,
    ],
    ['{multiple_choice: {dataset: q.csv}}', { 'q.csv': '' }, 'error dataset-unreadable', /q\.csv is empty\. Give it questions/],
    [
      '{multiple_choice: {dataset: q.csv}}',
      { 'q.csv': 'What?,one,two,C\n' },
      'error dataset-unreadable',
      /q\.csv, line 1: the answer "C" is none of A, B/,
    ],
    [
      '{multiple_choice: {dataset: q.csv}}',
      { 'q.csv': `${choices}What?,A\n` },
      'error dataset-unreadable',
      /line 3: the row has 2 columns/,
    ],
    [
      '{generation: {dataset: q.jsonl}}',
      { 'q.jsonl': '{"question": "?", "answer": "2"}\n' },
      'error dataset-unreadable',
      /line 1: answer does not end in #### and a number/,
    ],
    ['{generation: {dataset: q.csv}}', { 'q.csv': choices }, 'error dataset-unreadable', /none of \.jsonl, which generation reads/],
    [
      '{generation: {dataset: q.jsonl, num_fewshot: 5}}',
      { 'q.jsonl': questions },
      'error field-missing',
      /num_fewshot: 5 puts 5 solved examples .* no fewshot_dataset/,
    ],
    [
      '{generation: {dataset: q.jsonl, num_fewshot: 1, fewshot_dataset: e.jsonl}}',
      { 'q.jsonl': questions, 'e.jsonl': '[]\n' },
      'error dataset-unreadable',
      /e\.jsonl, line 1: the file is one JSON list/,
    ],
    ['{generation: {dataset: q.jsonl, max_gen_toks: 0}}', { 'q.jsonl': questions }, 'error value-too-small', /max_gen_toks/],
    ['{kl_divergence: {dataset: absent.jsonl}}', {}, 'error dataset-not-found', /absent\.jsonl/],
    [
      '{kl_divergence: {dataset: rows.jsonl, text_column: txt}}',
      { 'rows.jsonl': '{"text":"a"}\n' },
      'error dataset-column-missing',
      /Did you mean/,
    ],
  ];
  for (const [evaluate, files, expected, message] of cases) {
    const problems = await problemsOf(evaluate, files);
    assert.deepEqual(told(problems), [expected], `${evaluate}: ${problems.map((problem) => problem.message).join(' ')}`);
    assert.match(problems[0]?.message ?? '', message);
  }
});
