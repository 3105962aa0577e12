// The fixes of single problems: what stands in the recipe after choosing one, and that the problem is gone with it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixAll, quickFixes } from '../../../server/src/features/code-actions.js';
import { applyEdits, check } from '../../support/recipe-features.js';

const recipe = (modifiers: string): string => `model: ./
output: {dir: ../out}
quant_stage:
  quant_modifiers:
${modifiers}`;

/** Code, title of the fix, modifiers before and after. */
const cases: [string, string, string, string][] = [
  [
    'actorder-without-groups',
    'Change to static',
    '    GPTQModifier: {scheme: W8A8, actorder: group}\n',
    '    GPTQModifier: {scheme: W8A8, actorder: static}\n',
  ],
  [
    'group-size-indivisible',
    'Use strategy channel, with one scale for each row',
    '    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, group_size: 48}}}}\n',
    '    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}}\n',
  ],
  [
    'group-size-indivisible',
    'Use strategy channel, with one scale for each row',
    '    QuantizationModifier:\n      ignore: [lm_head]\n      config_groups:\n        g:\n          targets: [Linear]\n          weights:\n            strategy: group\n            group_size: 48\n            num_bits: 8\n',
    '    QuantizationModifier:\n      ignore: [lm_head]\n      config_groups:\n        g:\n          targets: [Linear]\n          weights:\n            strategy: channel\n            num_bits: 8\n',
  ],
  // As Python prints null, true and false.
  [
    'actorder-invalid',
    'Change to null',
    '    GPTQModifier: {scheme: W8A8, actorder: None}\n',
    '    GPTQModifier: {scheme: W8A8, actorder: null}\n',
  ],
  [
    'actorder-invalid',
    'Change to null',
    '    GPTQModifier: {scheme: W8A8, actorder: False}\n',
    '    GPTQModifier: {scheme: W8A8, actorder: null}\n',
  ],
  [
    'actorder-invalid',
    'Change to group',
    '    GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, group_size: 4}}}, actorder: True}\n',
    '    GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, group_size: 4}}}, actorder: group}\n',
  ],
  [
    'quantization-args-invalid',
    'Change to null',
    '    GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel, actorder: None}}}}\n',
    '    GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel, actorder: null}}}}\n',
  ],
  [
    'quantization-args-invalid',
    'Change to null',
    '    QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel, group_size: None}}}}\n',
    '    QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel, group_size: null}}}}\n',
  ],
  [
    'wrong-type',
    'Change to null',
    '    SmoothQuantModifier: {mappings: None}\n    QuantizationModifier: {scheme: W8A8}\n',
    '    SmoothQuantModifier: {mappings: null}\n    QuantizationModifier: {scheme: W8A8}\n',
  ],
  [
    'group-size-indivisible',
    'Write config_groups with strategy channel, one scale for each row',
    '    QuantizationModifier:\n      scheme: W4A16 # why\n      targets: [Linear]\n      ignore: [lm_head]\n',
    '    QuantizationModifier:\n      config_groups: {w4a16: {targets: [Linear], weights: {num_bits: 4, symmetric: true, strategy: channel}}} # why\n      ignore: [lm_head]\n',
  ],
  [
    'group-size-indivisible',
    'Write config_groups with group_size 64, which divides all layers',
    '    QuantizationModifier: {scheme: W4A8, targets: ["re:.*q_proj"]}\n',
    "    QuantizationModifier: {config_groups: {w4a8: {targets: ['re:.*q_proj'], weights: {num_bits: 4, symmetric: true, strategy: group, group_size: 64}, input_activations: {num_bits: 8, type: int, strategy: token, dynamic: true}}}}\n",
  ],
  [
    'wrong-type',
    'Make it a list: [lm_head]',
    '    QuantizationModifier: {scheme: W8A8, ignore: lm_head}\n',
    '    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}\n',
  ],
  [
    'wrong-type',
    "Make it a list: ['re:.*q_proj']",
    "    QuantizationModifier:\n      scheme: W8A8\n      ignore: 're:.*q_proj' # why\n",
    "    QuantizationModifier:\n      scheme: W8A8\n      ignore: ['re:.*q_proj'] # why\n",
  ],
  [
    'wrong-type',
    'Put quotes around 2:4',
    '    SparseGPTModifier: {sparsity: 0.5, mask_structure: 2:4}\n',
    "    SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4'}\n",
  ],
  [
    'unknown-modifier',
    'Move scheme, ignore into QuantizationModifier',
    '    QuantizationModifier:\n    scheme: W8A8 # why\n\n    # the head\n    ignore:\n      - lm_head\n',
    '    QuantizationModifier:\n      scheme: W8A8 # why\n\n      # the head\n      ignore:\n        - lm_head\n',
  ],
  [
    'suppression-unused',
    'Remove this comment',
    '    QuantizationModifier:\n      scheme: W8A8 # bitwright-ignore targets-overlap: once\n',
    '    QuantizationModifier:\n      scheme: W8A8\n',
  ],
  [
    'suppression-unused',
    'Remove this comment',
    '    QuantizationModifier:\n      # bitwright-ignore targets-overlap: once\n      scheme: W8A8\n',
    '    QuantizationModifier:\n      scheme: W8A8\n',
  ],
  [
    'suppression-unused',
    'Remove targets-overlap',
    '    QuantizationModifier:\n      scheme: W8A8\n      ignore: [none] # bitwright-ignore targets-overlap, ignore-matches-nothing: shared\n',
    '    QuantizationModifier:\n      scheme: W8A8\n      ignore: [none] # bitwright-ignore ignore-matches-nothing: shared\n',
  ],
  [
    'scheme-and-config-groups-together',
    'Remove scheme',
    '    QuantizationModifier: {scheme: W8A8, config_groups: {a: {targets: [Linear], weights: {num_bits: 8}}}}\n',
    '    QuantizationModifier: {config_groups: {a: {targets: [Linear], weights: {num_bits: 8}}}}\n',
  ],
  [
    'scheme-and-config-groups-together',
    'Remove config_groups',
    '    QuantizationModifier: {scheme: W8A8, config_groups: {a: {targets: [Linear], weights: {num_bits: 8}}}}\n',
    '    QuantizationModifier: {scheme: W8A8}\n',
  ],
  [
    'observer-given-twice',
    'Remove weight_observer',
    '    QuantizationModifier:\n      scheme: W8A16\n      weight_observer: minmax\n      observer: {weights: minmax}\n',
    '    QuantizationModifier:\n      scheme: W8A16\n      observer: {weights: minmax}\n',
  ],
  [
    'actorder-given-twice',
    'Keep "group", of the weights',
    '    GPTQModifier:\n      actorder: static\n      config_groups: {a: {targets: [Linear], weights: {num_bits: 4, group_size: 32, actorder: group}}}\n',
    '    GPTQModifier:\n      config_groups: {a: {targets: [Linear], weights: {num_bits: 4, group_size: 32, actorder: group}}}\n',
  ],
  [
    'key-not-text',
    'Put quotes around 4',
    '    QuantizationModifier:\n      config_groups: {4: {targets: [Linear], weights: {num_bits: 8}}}\n',
    "    QuantizationModifier:\n      config_groups: {'4': {targets: [Linear], weights: {num_bits: 8}}}\n",
  ],
  [
    'invalid-regular-expression',
    'Change to re:.*q_proj',
    "    QuantizationModifier: {scheme: W8A8, ignore: ['re:*q_proj']}\n",
    "    QuantizationModifier: {scheme: W8A8, ignore: ['re:.*q_proj']}\n",
  ],
  [
    'quantization-args-invalid',
    'Change to 32',
    "    QuantizationModifier:\n      config_groups: {a: {targets: [Linear], weights: {num_bits: 8, group_size: '32'}}}\n",
    '    QuantizationModifier:\n      config_groups: {a: {targets: [Linear], weights: {num_bits: 8, group_size: 32}}}\n',
  ],
  [
    'smoothquant-without-activation-quantization',
    'Remove SmoothQuantModifier',
    '    SmoothQuantModifier: {}\n    GPTQModifier: {scheme: W8A16}\n',
    '    GPTQModifier: {scheme: W8A16}\n',
  ],
  [
    'smoothquant-without-activation-quantization',
    'Remove SmoothQuantModifier',
    '    SmoothQuantModifier: {}\n  b_modifiers:\n    GPTQModifier: {scheme: W8A16}\n',
    '  b_modifiers:\n    GPTQModifier: {scheme: W8A16}\n',
  ],
  [
    'modifier-without-effect',
    'Remove mappings',
    '    SmoothQuantModifier: {mappings: []}\n    GPTQModifier: {scheme: W8A8}\n',
    '    SmoothQuantModifier: {}\n    GPTQModifier: {scheme: W8A8}\n',
  ],
];

for (const [code, title, before, after] of cases)
  test(`${code}: ${title}`, async () => {
    const { document, problems } = await check(recipe(before));
    const problem = problems.find((candidate) => candidate.code === code);
    assert.ok(problem, problems.map((other) => `${other.code}: ${other.message}`).join('\n'));
    const fixes = quickFixes(document, problems, problem.range).filter((fix) => fix.problem === problem);
    const fix = fixes.find((candidate) => candidate.title === title);
    assert.ok(fix, `there are ${fixes.map((other) => other.title).join(', ')}`);
    const text = applyEdits(document, fix.edits);
    // A group that is left empty goes with its last modifier.
    assert.equal(text, recipe(after).replace('  quant_modifiers:\n  b_modifiers:', '  b_modifiers:'));
    const left = (await check(text)).problems.filter((other) => other.code === code);
    assert.deepEqual(left, []);
  });

/** The texts of a problem's one fix, and the codes before and after it. */
async function mended(text: string): Promise<{ before: string[]; text: string; after: string[] }> {
  const { document, problems } = await check(text);
  const [fix] = quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: text.length }));
  assert.ok(fix?.preferred);
  const codes = (found: typeof problems): string[] => found.map(({ code }) => code);
  const result = applyEdits(document, fix.edits);
  return { before: codes(problems), text: result, after: codes((await check(result)).problems) };
}

test('tabs are one problem, however many there are, and one fix makes spaces of them', async () => {
  const tabbed =
    'model: ./\noutput:\n\tdir: ../out\t# why\nquant_stage:\n\tquant_modifiers:\n\t\tQuantizationModifier: {scheme:\tW8A8, ignore: [lm_head]}\n';
  assert.deepEqual(await mended(tabbed), { before: ['yaml-syntax'], text: tabbed.replaceAll('\t', '  '), after: [] });
});

test('a path where a mapping is wanted becomes the field that it is', async () => {
  const modifiers = 'quant_stage: {quant_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}}}\n';
  assert.deepEqual(await mended(`model: ./\noutput: ../out # why\n${modifiers}`), {
    before: ['wrong-type'],
    text: `model: ./\noutput: {dir: ../out} # why\n${modifiers}`,
    after: [],
  });
  const { text } = await mended(`model: ./\noutput: {dir: ../out}\nevaluate: {perplexity: rows.jsonl}\n${modifiers}`);
  assert.match(text, /^evaluate: \{perplexity: \{dataset: rows\.jsonl\}\}$/m);
});

test('fields beside their modifier: the one preferred fix moves them, and no empty body is offered', async () => {
  const { document, problems } = await check(recipe('    QuantizationModifier:\n    scheme: W8A8\n    ignore: [lm_head]\n'));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['unknown-modifier', 'unknown-modifier'],
  );
  const titles = quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: 1000 })).map(({ title }) => title);
  assert.deepEqual([...new Set(titles)], ['Move scheme, ignore into QuantizationModifier']);
});

test('the only modifier of a recipe is not offered for removal', async () => {
  const { document, problems } = await check(recipe('    MagnitudePruningModifier: {}\n'));
  const whole = document.rangeOfSpan({ begin: 0, end: document.text.length });
  const titles = quickFixes(document, problems, whole).map(({ title }) => title);
  assert.ok(!titles.includes('Remove MagnitudePruningModifier'), titles.join(', '));
});

test('choices are left out of fix-all', async () => {
  const { document, problems } = await check(
    recipe('    QuantizationModifier: {scheme: W8A8, ignore: lm_head, config_groups: {a: {targets: [Linear]}}}\n'),
  );
  const text = applyEdits(document, fixAll(document, problems));
  assert.match(text, /scheme: W8A8, ignore: \[lm_head\], config_groups/);
});

const static8 = '{targets: [Linear], weights: {num_bits: 8}, input_activations: {num_bits: 8, strategy: tensor, dynamic: false}}';

test('a recipe that is one mapping in braces keeps its other keys when one goes or comes', async () => {
  const modifiers = 'quant_stage: {quant_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}}}';
  const fixed = async (text: string, title: string): Promise<string> => {
    const { document, problems } = await check(text);
    const fix = quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: text.length })).find((one) => one.title === title);
    assert.ok(fix, title);
    return applyEdits(document, fix.edits);
  };
  const first = `{model: ./, calibration: {dataset: rows.jsonl}, output: {dir: ../out}, ${modifiers}}\n`;
  assert.equal(await fixed(first, 'Remove calibration'), first.replace('calibration: {dataset: rows.jsonl}, ', ''));
  // The comma of the last entry is that before it.
  const last = `# the head\n{\n  model: ./, output: {dir: ../out}, ${modifiers},\n  calibration: {dataset: rows.jsonl}\n}\n`;
  assert.equal(await fixed(last, 'Remove calibration'), last.replace(',\n  calibration: {dataset: rows.jsonl}', ''));
});

test('what stands elsewhere, behind an alias, is not changed in the place of the alias', async () => {
  const head = `x_args:\n  - &groups {g: ${static8}}\n  - &cache {num_bits: 8, type: float, strategy: tensor, dynamic: false}\n  - &left [lm_head]\nmodel: ./\noutput: {dir: ../out}\ncalibration: {dataset: rows.jsonl}\n`;
  const modifiers = 'quant_stage:\n  quant_modifiers:\n    QuantizationModifier:\n';
  for (const fields of [
    'kv_cache_scheme: *cache',
    'config_groups: *groups',
    'config_groups: {g: {targets: [Linear], weights: {num_bits: 4, group_size: 48}}}',
  ]) {
    const text = `${head}${modifiers}      ignore: *left\n      ${fields}\n`;
    const { document, problems } = await check(text);
    for (const { edits, title } of quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: text.length }))) {
      const after = await check(applyEdits(document, edits));
      assert.deepEqual(
        after.problems.filter(({ code }) => code === 'yaml-syntax' || code === 'unknown-observer'),
        [],
        `${title}: ${after.document.text}`,
      );
    }
  }
});

test('line ends stay those of the recipe', async () => {
  const text = recipe(
    `    QuantizationModifier:\n      ignore:\n        - lm_head\n      config_groups:\n        g:\n          input_activations:\n            num_bits: 8\n            strategy: tensor\n            dynamic: false\n`,
  ).replaceAll('\n', '\r\n');
  const { document, problems } = await check(text);
  const fix = quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: text.length })).find(({ title }) =>
    title.startsWith('Set observer'),
  );
  assert.ok(fix);
  const after = applyEdits(document, fix.edits);
  assert.match(after, /dynamic: false\r\n {12}observer: static_minmax\r\n/);
  assert.doesNotMatch(after, /[^\r]\n/);
});
