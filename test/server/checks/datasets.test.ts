// What is said of the files with rows: whether they can be read, which column is meant, messages, doubled BOS tokens, and rows that nobody or too few layers use.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import { quickFixes } from '../../../server/src/features/code-actions.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { applyEdits } from '../../support/recipe-features.js';
import { checkIn, checkMarked, inFolder, marked, type RecipeSetting } from '../../support/recipe-fixture.js';

const gptq = 'q_stage: {q_modifiers: {GPTQModifier: {scheme: W8A8, ignore: [lm_head]}}}';
const rtn = 'q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}}}';
const recipe = (calibration: string, modifiers = gptq): string =>
  `model: model\ncalibration: ${calibration}\noutput: {dir: out}\n${modifiers}\n`;

/** Problems of a recipe beside files; `tokenizer` is written as tokenizer_config.json of the model. */
function problemsOf(text: string, setting: RecipeSetting & { tokenizer?: object } = {}): Promise<ProblemWithRange[]> {
  return inFolder(setting, async (dir) => {
    if (setting.tokenizer !== undefined) writeFileSync(path.join(dir, 'model/tokenizer_config.json'), JSON.stringify(setting.tokenizer));
    return (await checkIn(dir, text)).problems;
  });
}

const told = (problems: readonly ProblemWithRange[]): string[] => problems.map(({ code, severity }) => `${severity} ${code}`);

/** The recipe after the fix of its one problem. */
function fixed(text: string, setting: RecipeSetting): Promise<string> {
  return inFolder(setting, async (dir) => {
    const { document, problems } = await checkIn(dir, text);
    const [fix] = quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: text.length }));
    assert.ok(fix, told(problems).join());
    const mended = applyEdits(document, fix.edits);
    assert.deepEqual(told((await checkIn(dir, mended)).problems), []);
    return mended;
  });
}

test('a folder is no dataset: its files that are read are named', () =>
  inFolder({}, async (dir) => {
    const messageFor = async (): Promise<string> => {
      const { problems } = await checkIn(dir, recipe('{dataset: texts}'));
      assert.deepEqual(told(problems), ['error dataset-not-found']);
      return problems[0]?.message ?? '';
    };
    mkdirSync(path.join(dir, 'texts'));
    writeFileSync(path.join(dir, 'texts', 'train.parquet'), '');
    assert.match(
      await messageFor(),
      /texts is a folder, and a dataset is one file\. It holds no \.jsonl, \.txt or \.csv, which are read: convert/,
    );
    for (const name of ['a.csv', 'b.jsonl', 'c.txt', 'd.txt']) writeFileSync(path.join(dir, 'texts', name), 'text\n');
    assert.match(await messageFor(), /Name one of its files: a\.csv, b\.jsonl, c\.txt, d\.txt\.$/);
    writeFileSync(path.join(dir, 'texts', 'e.txt'), 'text\n');
    assert.match(await messageFor(), /c\.txt, d\.txt and 1 more\.$/);
  }));

test('a dataset that is there and cannot be read, with the line', async () => {
  for (const [name, content, message] of [
    ['a.jsonl', '{"text": "a"}\n{"text": \n', /a\.jsonl, line 2: the line is not JSON \(.*\)\. A run stops there\./],
    ['b.jsonl', '{"text": ["a"]}\n', /b\.jsonl, line 1: text \(text_column\) is a list, not a text\./],
    ['c.csv', 'id,text\n1,"a\n', /c\.csv: Quote Not Closed.*\. No row of it can be used\./],
    ['d.jsonl', '\n', /d\.jsonl: it has no row\./],
    ['e.parquet', 'PAR1', /e\.parquet is a Parquet file, which is not read yet/],
    ['f.json', '[]', /f\.json is none of \.jsonl, \.txt, \.csv/],
    ['g.txt', '', /g\.txt is empty\. Give it rows\./],
  ] as const) {
    const problems = await problemsOf(recipe(`{dataset: ${name}}`), { files: { [name]: content } });
    assert.deepEqual(told(problems), ['error dataset-unreadable'], name);
    assert.match(problems[0]?.message ?? '', message);
  }
});

test('texts and questions for a model without tokenizer.json; tokens need none', () =>
  inFolder(
    { files: { 'ids.jsonl': '{"input_ids": [1, 2]}\n'.repeat(8), 'sums.jsonl': '{"question": "1 + 1", "answer": "#### 2"}\n' } },
    async (dir) => {
      const said = async (text: string): Promise<string[]> =>
        (await checkIn(dir, text)).problems.map(
          ({ code, severity, path: at, message }) => `${severity} ${code} ${at.join('.')}: ${message}`,
        );
      const texts = recipe('{dataset: rows.jsonl}');
      assert.deepEqual(await said(texts), []);
      rmSync(path.join(dir, 'model/tokenizer.json'));
      const [found = '', ...more] = await said(texts);
      assert.match(
        found,
        /^error model-without-tokenizer calibration\.dataset: .*rows\.jsonl holds text, and .*model has no tokenizer\.json that makes tokens of it\. A run stops there\. Put .*, or write the rows as tokens, in input_ids\.$/,
      );
      assert.deepEqual(more, []);
      assert.deepEqual(await said(recipe('{dataset: ids.jsonl}')), []);
      writeFileSync(path.join(dir, 'model/tokenizer.model'), '');
      const asked = await said(`${recipe('{dataset: ids.jsonl}')}evaluate: {generation: {dataset: sums.jsonl}}\n`);
      assert.match(
        asked[0] ?? '',
        /^error model-without-tokenizer evaluate\.generation\.dataset: .*sums\.jsonl holds questions, .*of them \(tokenizer\.model is not read\)/,
      );
      // A run does not read what no modifier needs.
      assert.ok(
        (await said(recipe('{dataset: rows.jsonl}', rtn))).some((problem) => problem.startsWith('warning model-without-tokenizer')),
      );
    },
  ));

test('no rows asked for: one problem', async () => {
  assert.deepEqual(told(await problemsOf(recipe('{dataset: rows.jsonl, num_calibration_samples: 0}'))), ['error value-too-small']);
});

test('rows without text: how many of the first, and the first of them', async () => {
  const files = { 'a.jsonl': '{"text": "a"}\n{"text": ""}\n{"text": " \\n"}\n{"input_ids": []}\n{"text": "a"}\n' };
  const [found, ...more] = await problemsOf(recipe('{dataset: a.jsonl}'), { files });
  assert.deepEqual([found?.code, found?.severity, found?.path.join('.'), more], ['rows-empty', 'warning', 'calibration.dataset', []]);
  assert.match(found?.message ?? '', /^3 of the first 5 rows of .*a\.jsonl have no text, line 2 first\./);
  assert.deepEqual(told(await problemsOf(recipe('{dataset: a.jsonl, num_calibration_samples: 1}'), { files })), [
    'warning calibration-too-small',
  ]);
});

test('lines behind the rows that are used are not read, and not judged; a shuffle reads all', async () => {
  const files = { 'a.jsonl': `${'{"text": "a"}\n'.repeat(4)}no json\n` };
  assert.deepEqual(told(await problemsOf(recipe('{dataset: a.jsonl, num_calibration_samples: 4}'), { files })), []);
  const shuffled = recipe('{dataset: a.jsonl, num_calibration_samples: 4, shuffle_calibration_samples: true}');
  assert.deepEqual(told(await problemsOf(shuffled, { files })), ['error dataset-unreadable']);
});

test('rows that no modifier needs are a warning, rows of the evaluation an error', async () => {
  const files = { 'a.jsonl': 'no json\n' };
  const unused = await problemsOf(recipe('{dataset: a.jsonl}', rtn), { files });
  assert.deepEqual(told(unused).sort(), ['information calibration-without-effect', 'warning dataset-unreadable']);
  const evaluation = `model: model\nevaluate: {perplexity: {dataset: a.jsonl}}\noutput: {dir: out}\n${rtn}\n`;
  assert.deepEqual(told(await problemsOf(evaluation, { files })), ['error dataset-unreadable']);
});

test(
  'a column that is not there: the default, a slip, none that resembles it',
  marked(
    `
    model: model
    calibration: {dataset: a.csv}
    #                      ^^^^^ error dataset-column-missing: a.csv, line 1: there is no column text (text_column); its columns are question, answer. A run stops there. Set text_column to the column that holds the text.
    evaluate:
      perplexity:
        dataset: b.jsonl
        text_column: promt
    #                ^^^^^ error dataset-column-missing: line 1: the row has neither promt (text_column) nor messages nor input_ids; it has id, prompt. A run stops there. Did you mean text_column: prompt?
    output: {dir: out}
    q_stage: {q_modifiers: {GPTQModifier: {scheme: W8A8, ignore: [lm_head]}}}
  `,
    { files: { 'a.csv': 'question,answer\nx,y\n'.repeat(8), 'b.jsonl': '{"id": 1, "prompt": "a"}\n' } },
  ),
);

test('the fix names the column that is there, in flow and in block style', async () => {
  const files = { 'a.jsonl': '{"id": 1, "a: b": "x"}\n'.repeat(8) };
  assert.match(await fixed(recipe('{dataset: a.jsonl}'), { files }), /calibration: \{dataset: a\.jsonl, text_column: 'a: b'\}/);
  const block = recipe('\n  dataset: a.jsonl\n  text_column: body');
  assert.match(await fixed(block, { files }), /\n {2}text_column: 'a: b'\n/);
});

test('columns that do not resemble the name are offered, and none of them is preferred; long names are cut', async () => {
  const files = { 'a.csv': `question,answer,${'long '.repeat(20)}\n${'x,y,z\n'.repeat(8)}` };
  const [problem] = await problemsOf(recipe('{dataset: a.csv}'), { files });
  assert.deepEqual(
    problem?.fixes?.map(({ title, preferred }) => [title.slice(0, 30), preferred]),
    [
      ['Set text_column: question', false],
      ['Set text_column: answer', false],
      ['Set text_column: long long lon', false],
    ],
  );
  assert.match(problem.message, /its columns are question, answer, long long long long long long long long …\. A run stops there\./);
});

test('conversations are not read, and say so', async () => {
  const files = { 'a.jsonl': '{"conversations": [{"from": "human", "value": "a"}]}\n' };
  const [problem, ...others] = await problemsOf(recipe('{dataset: a.jsonl}'), { files });
  assert.deepEqual(others, []);
  assert.equal(problem?.code, 'dataset-column-missing');
  assert.match(problem.message, /it has conversations\. A run stops there\. conversations is not read: write its turns as messages/);
});

test('a named column that no row has, where input_ids are read instead', async () => {
  const files = { 'a.jsonl': '{"input_ids": [1, 2], "boddy": "x"}\n'.repeat(8) };
  const [problem, ...others] = await problemsOf(recipe('{dataset: a.jsonl, text_column: body}'), { files });
  assert.deepEqual([others, problem?.severity, problem?.code], [[], 'warning', 'dataset-column-missing']);
  assert.match(
    problem?.message ?? '',
    /None of the first rows of .*a\.jsonl has body \(text_column\), so their input_ids are read instead/,
  );
  assert.deepEqual(await problemsOf(recipe('{dataset: a.jsonl}'), { files }), [], 'the default is not asked for');
  const mixed = { 'a.jsonl': `${'{"input_ids": [1, 2]}\n'.repeat(8)}{"body": "x"}\n` };
  assert.deepEqual(await problemsOf(recipe('{dataset: a.jsonl, text_column: body}'), { files: mixed }), []);
});

test('messages are joined, and whether the model has a template is told', async () => {
  const row = '{"messages": [{"role": "user", "content": "a"}]}\n';
  const setting = { files: { 'a.jsonl': row.repeat(3) + '{"text": "b"}\n'.repeat(5) } };
  const message = async (tokenizer: object | null): Promise<string> => {
    const problems = await problemsOf(recipe('{dataset: a.jsonl}'), tokenizer === null ? setting : { ...setting, tokenizer });
    assert.deepEqual(told(problems), ['warning messages-without-template']);
    return problems[0]?.message ?? '';
  };
  assert.match(
    await message({ chat_template: '{{ messages }}' }),
    /^3 of the first 8 rows .* Render each conversation with the chat template/,
  );
  assert.match(await message({ bos_token: '<s>' }), /The model has no chat template either/);
  assert.match(await message(null), /The model has no chat template either/);
});

test('a BOS token that rows hold twice; one is left alone by a run', async () => {
  const tokenizer = { bos_token: { content: '<s>' }, added_tokens_decoder: { 1: { content: '<s>' } } };
  const check = async (row: string, config: object = tokenizer): Promise<ProblemWithRange[]> => {
    const problems = await problemsOf(recipe('{dataset: a.jsonl}'), { files: { 'a.jsonl': `${row}\n`.repeat(8) }, tokenizer: config });
    assert.ok(
      problems.every(({ code, severity }) => code === 'double-bos' && severity === 'warning'),
      told(problems).join(),
    );
    return problems;
  };
  assert.match((await check('{"text": "<s><s>[INST] a"}'))[0]?.message ?? '', /line 1: .* twice \(<s><s>\), as 8 of the first 8 rows do/);
  assert.match((await check('{"input_ids": [1, 1, 5]}'))[0]?.message ?? '', /\[1, 1\]/);
  for (const row of ['{"text": "<s>a"}', '{"text": "a <s><s>"}', '{"input_ids": [1, 5, 1]}', '{"input_ids": [5, 5]}'])
    assert.deepEqual(await check(row), [], row);
  assert.deepEqual(await check('{"text": "<s><s>a"}', { bos_token: null }), []);
  assert.deepEqual(await check('{"text": "<s><s>a"}', { bos_token: '<|begin_of_text|>' }), []);
});

test('calibration in a recipe that uses no data', async () => {
  const problems = await problemsOf(recipe('{dataset: rows.jsonl}', rtn));
  assert.deepEqual(told(problems), ['information calibration-without-effect']);
  assert.match(problems[0]?.message ?? '', /\(QuantizationModifier; .*rows\.jsonl is not read\. Remove calibration/);
  const mended = await fixed(recipe('{dataset: rows.jsonl}', rtn), {});
  assert.ok(!mended.includes('calibration'));
  for (const [modifier, isFree] of [
    ['QuantizationModifier: {scheme: W8A8, targets: [Linear], requires_calibration_data: false}', true],
    ['QuantizationModifier: {scheme: W8A8, requires_calibration_data: true}', false],
    ['QuantizationModifier: {scheme: W8A8, weight_observer: imatrix_mse}', false],
    ['QuantizationModifier: {scheme: FP8}', false],
    ['QuantizationModifier: {scheme: no-such-scheme}', false],
    ['NoSuchModifier: {}', false],
    ['AWQModifier: {}\n    QuantizationModifier: {scheme: W8A8}', false],
  ] as const) {
    const found = await problemsOf(recipe('{dataset: rows.jsonl}', `q_stage:\n  q_modifiers:\n    ${modifier}`));
    const codes = told(found).filter((one) => one.includes('calibration-without-effect'));
    assert.deepEqual(codes, isFree ? ['information calibration-without-effect'] : [], modifier);
  }
});

test('fewer tokens than GPTQ has columns to solve', async () => {
  const model = tinyLlama({ intermediate: 1024 });
  const [problem, ...others] = await problemsOf(recipe('{dataset: rows.jsonl, num_calibration_samples: 4, max_seq_length: 100}'), {
    model,
  });
  assert.deepEqual([others, problem?.code, problem?.severity], [[], 'calibration-too-small', 'warning']);
  assert.match(
    problem?.message ?? '',
    /^4 rows of at most 100 tokens are at most 400 tokens, and model\.layers\.0\.mlp\.down_proj has 1024 columns \(it is the widest of 2 layers .*rank 400.*Use 11 rows or more/,
  );
  assert.deepEqual(problem?.range.start, { line: 1, character: 60 });
  assert.deepEqual(problem?.fixes, [], 'the file has 8 rows');
  const files = { 'a.jsonl': '{"text": "a"}\n'.repeat(20) };
  const mended = await fixed(recipe('{dataset: a.jsonl, num_calibration_samples: 4}'), { model, files });
  assert.match(mended, /num_calibration_samples: 8\b/, 'the context is 128 tokens');
});

test('few rows in the file are too small too; a file that is not read to its end is not', async () => {
  const model = tinyLlama({ intermediate: 1024 });
  const short = await problemsOf(recipe('{dataset: a.jsonl}'), { model, files: { 'a.jsonl': '{"text": "a"}\n'.repeat(7) } });
  assert.deepEqual(told(short), ['warning calibration-too-small']);
  assert.match(short[0]?.message ?? '', /^7 rows of at most 128 tokens/);
  assert.deepEqual(short[0]?.range.start, { line: 1, character: 23 });
  assert.deepEqual(await problemsOf(recipe('{dataset: a.jsonl}'), { model, files: { 'a.jsonl': '{"text": "a"}\n'.repeat(8) } }), []);
  const long = `${JSON.stringify({ text: 'a'.repeat(30_000) })}\n`;
  assert.deepEqual(await problemsOf(recipe('{dataset: a.jsonl}'), { model, files: { 'a.jsonl': long.repeat(3) } }), []);
});

test('tokens are counted for GPTQ alone', async () => {
  const model = tinyLlama({ intermediate: 1024 });
  const smooth = `q_stage:
  q_modifiers:
    SmoothQuantModifier: {}
    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}`;
  assert.deepEqual(told(await problemsOf(recipe('{dataset: rows.jsonl, num_calibration_samples: 1}', smooth), { model })), []);
  const narrow = 'q_stage: {q_modifiers: {GPTQModifier: {scheme: W8A8, targets: ["re:.*o_proj$"]}}}';
  assert.deepEqual(told(await problemsOf(recipe('{dataset: rows.jsonl, num_calibration_samples: 1}', narrow), { model })), []);
});

test('without a model only the file is judged', async () => {
  const files = { 'a.jsonl': '{"text": "<s><s>a"}\n', 'b.jsonl': '{"body": "a"}\n' };
  const plain = (name: string): string => `calibration: {dataset: ${name}}\noutput: {dir: out}\n${gptq}\n`;
  const codes = async (name: string): Promise<string[]> =>
    told(await problemsOf(plain(name), { model: null, files })).filter((one) => !one.includes('model-not-resolved'));
  assert.deepEqual(await codes('a.jsonl'), []);
  assert.deepEqual(await codes('b.jsonl'), ['error dataset-column-missing']);
});

test('marks stand on the name of the file', async () => {
  await checkMarked(
    `
    model: model
    calibration:
      dataset: a.jsonl
    #          ^^^^^^^ error dataset-unreadable: Repair the line, or remove it.
    output: {dir: out}
    q_stage: {q_modifiers: {GPTQModifier: {scheme: W8A8, ignore: [lm_head]}}}
  `,
    { files: { 'a.jsonl': '7\n' } },
  );
});
