// Multiple choice and generation: the scores, log-likelihoods, texts and extracted numbers of lm-eval (golden: test/parity/lm-eval-goldens.py).
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { GenerationPlan, MultipleChoicePlan, TaskFile } from '../../../schemas/src/generated/plan.js';
import { flexibleAnswer, isExactMatch, strictAnswer } from '../../../worker/src/evaluate/exact-match.js';
import { measureGeneration } from '../../../worker/src/evaluate/generation.js';
import { decodeGreedily } from '../../../worker/src/evaluate/greedy-decoding.js';
import type { EvaluationWatch } from '../../../worker/src/evaluate/model-pass.js';
import { measureMultipleChoice } from '../../../worker/src/evaluate/multiple-choice.js';
import { choicePrompts } from '../../../worker/src/evaluate/task-prompts.js';
import { readChoices, readExamples, readQuestions } from '../../../worker/src/evaluate/task-rows.js';
import { failureCode } from '../../support/failures.js';
import { describedModel, forwardPass } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel } from '../../support/safetensors-file.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';

interface ChoiceGolden {
  description: string;
  acc: number;
  acc_norm: number;
  first_prompt: string;
  log_likelihoods: number[][];
}
interface Golden {
  mmlu: ChoiceGolden;
  mmlu_2_shot: ChoiceGolden;
  mmlu_continuation: ChoiceGolden;
  gsm8k: { exact_match_strict: number; exact_match_flexible: number; answers: string[]; strict: string[]; flexible: string[] };
  extraction: { answer: string; reference: string; 'strict-match': [string, boolean]; 'flexible-extract': [string, boolean] }[];
}

const golden = JSON.parse(readFileSync(path.join(repositoryRoot, 'test', 'golden', 'lm-eval.json'), 'utf8')) as Golden;
const folder = mkdtempSync(path.join(tmpdir(), 'bitwright-tasks-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const quiet: EvaluationWatch = { onProblem: () => undefined, onProgress: () => undefined, throwIfCancelled: () => undefined };
const taskFile = (file: string): TaskFile => ({ file, bytes: statSync(file).size });
const written = (name: string, text: string): TaskFile => {
  writeFileSync(path.join(folder, name), text);
  return taskFile(path.join(folder, name));
};
const mmlu = (split: string): string => sharedPath('data', 'tasks', `mmlu-high-school-computer-science-${split}.csv`);
const stories = () => describedModel(sharedPath('data', 'models', 'stories260K'));

for (const [name, answers, num_fewshot] of [
  ['mmlu', 'letters', 0],
  ['mmlu_2_shot', 'letters', 2],
  ['mmlu_continuation', 'texts', 0],
] as const)
  test(`${name}, 100 questions: the log-likelihoods, acc and acc_norm of lm-eval`, { skip: skipWithoutShared }, async () => {
    const expected = golden[name];
    const plan: MultipleChoicePlan = {
      dataset: taskFile(mmlu('test')),
      num_samples: null,
      description: expected.description,
      num_fewshot,
      fewshot_dataset: taskFile(mmlu('dev')),
      answers,
    };
    const rows = await readChoices(plan.dataset);
    const examples = (await readChoices(taskFile(mmlu('dev')))).slice(0, num_fewshot);
    assert.equal(choicePrompts(rows, examples, plan.description, answers)[0]?.context, expected.first_prompt);
    const model = await stories();
    const { scored, ...score } = await withDevice((device) => measureMultipleChoice(model, plan, device, quiet));
    assert.equal(scored.length, 100);
    scored.forEach(({ logLikelihoods }, question) =>
      logLikelihoods.forEach((value, choice) => {
        const reference = expected.log_likelihoods[question]?.[choice] ?? NaN;
        assert.ok(
          Math.abs(value - reference) <= 1e-3 + 1e-5 * Math.abs(reference),
          `question ${question}, choice ${choice}: ${value}, not ${reference}`,
        );
      }),
    );
    assert.deepEqual([score.acc, score.acc_norm], [expected.acc, expected.acc_norm]);
    assert.ok(Math.abs(score.acc_stderr - Math.sqrt((score.acc * (1 - score.acc)) / 99)) < 1e-12);
  });

test('gsm8k, 100 questions: the scores of lm-eval, and its texts', { skip: skipWithoutShared }, async () => {
  const plan: GenerationPlan = {
    dataset: taskFile(sharedPath('data', 'tasks', 'gsm8k-test.jsonl')),
    num_samples: 100,
    description: '',
    num_fewshot: 0,
    fewshot_dataset: null,
    max_gen_toks: 64,
  };
  const model = await stories();
  const answer = await withDevice((device) => measureGeneration(model, plan, device, quiet));
  assert.deepEqual(
    [answer.exact_match_strict, answer.exact_match_flexible],
    [golden.gsm8k.exact_match_strict, golden.gsm8k.exact_match_flexible],
  );
  const different = answer.answers.filter((text, at) => text !== golden.gsm8k.answers[at]);
  // Two sums in another order may turn a tie of two tokens; what is behind it differs then.
  assert.ok(different.length <= 3, `${different.length} of 100 texts differ`);
  answer.answers.forEach((text, at) => {
    if (text !== golden.gsm8k.answers[at]) return;
    assert.deepEqual([strictAnswer(text), flexibleAnswer(text)], [golden.gsm8k.strict[at], golden.gsm8k.flexible[at]]);
  });
});

test('extraction and exact match are those of lm-eval on right and wrong answers', () => {
  assert.ok(
    golden.extraction.length === 100 &&
      golden.extraction.some((one) => one['strict-match'][1]) &&
      golden.extraction.some((one) => one['flexible-extract'][1]),
  );
  for (const { answer, reference, ...expected } of golden.extraction) {
    const [strict, flexible] = [strictAnswer(answer), flexibleAnswer(answer)];
    assert.deepEqual([strict, isExactMatch(strict, reference)], expected['strict-match'], answer);
    assert.deepEqual([flexible, isExactMatch(flexible, reference)], expected['flexible-extract'], answer);
  }
});

test('greedy decoding with kept keys and values takes the tokens of plain passes', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'decoding'), { blocks: 2 }));
  const prompts = [[1, 2, 3], [7], [5, 9, 11, 200, 31]].map((ids) => Int32Array.from(ids));
  const most = 12;
  await withDevice(async (device) => {
    const ends: number[] = [];
    const generated = await decodeGreedily({
      model,
      device,
      prompts,
      most,
      // The second prompt ends early, and the others are not changed by it.
      isEnded: (prompt, tokens) => prompt === 1 && tokens.length === 4,
      onProgress: (fraction) => ends.push(fraction),
    });
    for (const [at, prompt] of prompts.entries()) {
      const ids = [...prompt];
      for (const token of generated[at] ?? []) {
        const { logits } = await forwardPass(device, model, [Int32Array.from(ids)]);
        const last = logits.slice((ids.length - 1) * 420, ids.length * 420);
        const best = Math.max(...last);
        assert.ok(best - (last[token] ?? -Infinity) < 1e-5, `prompt ${at}: token ${token} after ${ids.join(' ')}`);
        ids.push(token);
      }
      assert.equal(generated[at]?.length, at === 1 ? 4 : most);
    }
    assert.ok(ends.length >= most - 1 && (ends.at(-1) ?? 0) <= 1);
  });
});

test('rows that are no questions are told with their line', async () => {
  const cases: [string, string, RegExp][] = [
    ['short.csv', 'What?,A\n', /line 1: the row has 2 columns/],
    ['letter.csv', 'What?,one,two,E\n', /line 1: the answer "E" is none of A, B/],
    ['second.csv', 'What?,one,two,B\n"Which\nof them?",one,two,C\n', /line 3: the answer "C"/],
    ['choices.jsonl', '{"question":"?","choices":["a"],"answer":0}\n', /line 1: choices is missing or is not a list of at least two/],
    ['answer.jsonl', '{"question":"?","choices":["a","b"]}\n', /line 1: the answer is missing and is none of A, B/],
    ['empty.csv', '', /it has no question/],
    ['table.txt', 'x', /multiple_choice reads \.csv and \.jsonl/],
  ];
  for (const [name, text, message] of cases)
    await assert.rejects(readChoices(written(name, text)), failureCode('dataset-invalid', message), name);
  await assert.rejects(
    readQuestions(written('unmarked.jsonl', '{"question":"?","answer":"42"}\n')),
    failureCode('dataset-invalid', /does not end in #### and a number/),
  );
  await assert.rejects(
    readQuestions({ file: path.join(folder, 'absent.jsonl'), bytes: 1 }),
    failureCode('file-unreadable', /absent\.jsonl/),
  );
  await assert.rejects(readQuestions({ ...written('longer.jsonl', '{}\n'), bytes: 99 }), failureCode('model-file-changed', /had 99/));
  const one = written('one.csv', 'What?,one,two,B\n');
  await assert.rejects(readExamples(one, 2, readChoices), failureCode('dataset-invalid', /it has 1 questions, and num_fewshot asks for 2/));
  assert.equal((await readExamples(one, 1, readChoices)).length, 1);
  assert.deepEqual(await readExamples(null, 0, readChoices), []);
  assert.deepEqual(await readChoices(written('header.csv', 'question,a,b,answer\nWhat?,one,two,B\n')), [
    { question: 'What?', choices: ['one', 'two'], answer: 1 },
  ]);
});
