// Every check on a recipe with marks: what is found, where, and how severe; and the quiet of a sound recipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../../schemas/src/problem.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { withExperts } from '../../support/problem-page-folder.js';
import { checkIn, checkMarked, inFolder, marked, roundToNearest } from '../../support/recipe-fixture.js';

test('a sound recipe has no problem and yields a plan', async () => {
  const { plan } = await checkMarked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}
  `);
  assert.ok(plan);
  assert.equal(plan.layers.filter((layer) => layer.scheme !== null).length, 14);
  assert.equal(plan.layers.find((layer) => layer.name === 'lm_head')?.scheme, null);
});

test('a target that matches nothing, with the name that was meant', async () => {
  const { problems } = await checkMarked(`${roundToNearest}
          config_groups:
            g:
              targets: [q_proj, Linear]
    #                   ^^^^^^ error target-matches-nothing: re:.*q_proj
              weights: {num_bits: 4, strategy: channel}
          ignore: [lm_head]
  `);
  assert.equal(problems[0]?.fixes?.[0]?.title, 'Change to re:.*q_proj$');
});

test(
  'an ignore entry that matches nothing is a warning',
  marked(`${roundToNearest}
          config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}
          ignore: [lm_head, "re:visual.*"]
    #                       ^^^^^^^^^^^^^ warning ignore-matches-nothing: spares nothing
  `),
);

test('group_size that does not divide the columns lists layers, sizes and two ways out', async () => {
  const { problems } = await checkMarked(`${roundToNearest}
          config_groups:
            g:
              targets: [Linear]
              weights: {num_bits: 4, group_size: 32}
    #                                            ^^ error group-size-indivisible: 2 of 14 targeted layers have columns that group_size 32 does not divide (172): model.layers.0.mlp.down_proj
          ignore: [lm_head]
  `);
  assert.deepEqual(
    problems[0]?.fixes?.map((fix) => fix.title),
    ['Use strategy channel, with one scale for each row', 'Ignore down_proj'],
  );
});

test(
  'a preset has no group_size to change: what to write in its place is said',
  marked(`${roundToNearest}
          scheme: W4A16
    #             ^^^^^ error group-size-indivisible: Either write config_groups in place of the scheme, with strategy: channel, one scale for each row, or add them to ignore.
          ignore: [lm_head]
  `),
);

test('shapes that yield no modifier say what to write', async () => {
  for (const [text, part] of [
    ['quant_modifiers: {GPTQModifier: {scheme: W4A16}}', 'stands at the top'],
    ['default_stage_0: {quant_modifiers: {GPTQModifier: {scheme: W4A16}}}', 'does not end in _stage'],
    ['q_stage: {modifiers: {GPTQModifier: {scheme: W4A16}}}', 'does not end in _modifiers'],
    ['q_stage: {GPTQModifier: {scheme: W4A16}}', 'directly under q_stage'],
    ['GPTQModifier: {scheme: W4A16}', 'stands at the top'],
    ['{}', 'no key ends in _stage'],
  ] as const) {
    const { problems, plan } = await inFolder({ model: null }, (dir) => checkIn(dir, text));
    assert.equal(plan, null);
    const found = problems.find((problem) => problem.code === 'recipe-yields-no-modifier');
    assert.ok(found?.message.includes(part), `${text}: ${found?.message ?? 'nothing found'}`);
  }
});

test(
  'fused siblings with different schemes',
  marked(`${roundToNearest}
    #   ^^^^^^^^^^^^^^^^^^^^ warning fused-siblings-differ: q_proj, k_proj, v_proj get different schemes in 2 blocks
          config_groups:
            a: {targets: ["re:.*q_proj"], weights: {num_bits: 4, strategy: channel}}
            b: {targets: ["re:.*[kv]_proj"], weights: {num_bits: 8, strategy: channel}}
  `),
);

test('experts of one block with different schemes', async () => {
  await inFolder({ model: withExperts(tinyLlama()) }, async (dir) => {
    const ignoring = (entry: string): Promise<Problem[]> =>
      checkIn(
        dir,
        `model: model\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n    QuantizationModifier: {scheme: W8A16, ignore: [lm_head, 're:.*mlp[.]gate$', '${entry}']}\n`,
      ).then(({ problems }) => problems.filter(({ code }) => code === 'fused-siblings-differ'));
    const [found] = await ignoring('re:.*experts[.]1[.].*');
    assert.match(found?.message ?? '', /The experts get different schemes in 2 blocks \(.*unquantized/);
    assert.deepEqual(await ignoring('re:.*experts.*'), []);
  });
});

test(
  'floats behind AWQ are told',
  marked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        AWQModifier: {}
        QuantizationModifier: {scheme: FP8_DYNAMIC, ignore: [lm_head]}
    #                                  ^^^^^^^^^^^ error scheme-not-runnable-yet: whose search knows integers alone
  `),
);

test('unknown modifier, unknown field, modifier without body', async () => {
  const { problems } = await checkMarked(`
    q_stage:
      q_modifiers:
        GPTQModifer: {scheme: W4A16}
    #   ^^^^^^^^^^^ error unknown-modifier: did you mean GPTQModifier?
    #   ^^^^^^^^^^^ hint model-not-resolved
        GPTQModifier: {scheme: W4A16, percdamp: 0.01}
    #                                 ^^^^^^^^ error unknown-field: the field is called dampening_frac
    #   ^^^^^^^^^^^^ information calibration-missing
  `);
  assert.equal(problems.find((problem) => problem.code === 'unknown-field')?.fixes?.[0]?.title, 'Rename to dampening_frac');
});

test(
  'scheme and config_groups together; quantization args that contradict each other',
  marked(`${roundToNearest}
          scheme: W4A16
    #     ^^^^^^ error scheme-and-config-groups-together
          config_groups:
            g:
              targets: [Linear]
              weights: {num_bits: 4, strategy: channel, group_size: 128}
    #                                                               ^^^ error quantization-args-invalid: group_size 128 goes with strategy group
          ignore: [lm_head]
  `),
);

test(
  'uppercase actorder is accepted by llm-compressor and writes wrong weights',
  marked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        GPTQModifier:
          config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}
          actorder: WEIGHT
    #               ^^^^^^ error actorder-invalid: in lower case: weight
  `),
);

test('data is asked for where a modifier needs it, and its file must be there', async () => {
  await checkMarked(`
    model: model
    output: {dir: out}
    q_stage:
      q_modifiers:
        GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}
    #   ^^^^^^^^^^^^ error calibration-missing: GPTQModifier needs calibration data
  `);
  await checkMarked(`
    model: model
    calibration: {dataset: missing.jsonl}
    #                      ^^^^^^^^^^^^^ error dataset-not-found: There is no file
    output: {dir: out}
    q_stage:
      q_modifiers:
        GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}
  `);
});

test(
  'SmoothQuant without quantized inputs, and behind the quantizer',
  marked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}
        SmoothQuantModifier: {smoothing_strength: 0.8}
    #   ^^^^^^^^^^^^^^^^^^^ error transform-after-quantizer
    #   ^^^^^^^^^^^^^^^^^^^ warning smoothquant-without-activation-quantization
  `),
);

test('a model that cannot be run still takes data-free methods, and says what it cannot', async () => {
  const gpt = tinyLlama({ config: { model_type: 'phantom', architectures: ['PhantomForCausalLM'] } });
  await checkMarked(
    `
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}
    #   ^^^^^^^^^^^^ error architecture-not-runnable: PhantomForCausalLM cannot be run here: its model_type phantom
  `,
    { model: gpt },
  );
  const { plan } = await checkMarked(
    `
    model: model
    output: {dir: out}
    q_stage:
      q_modifiers:
        QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}
  `,
    { model: gpt },
  );
  assert.ok(plan);
});

test(
  'output inside the model folder, context exceeded',
  marked(`
    model: model
    evaluate: {perplexity: {dataset: rows.jsonl, max_seq_length: 4096}}
    #                                                            ^^^^ warning sequence-longer-than-context: context of 128
    output: {dir: model/out}
    #             ^^^^^^^^^ error output-inside-model-folder
    q_stage:
      q_modifiers:
        QuantizationModifier:
          scheme: FP8_DYNAMIC
          ignore: [lm_head]
  `),
);

test(
  'inputs in groups must be whole groups, too',
  marked(`
    model: model
    output: {dir: out}
    q_stage:
      q_modifiers:
        QuantizationModifier:
          scheme: FP8_BLOCK
    #             ^^^^^^^^^ error group-size-indivisible: inputs that group_size 128 does not divide (64, 172)
          ignore: [lm_head]
  `),
);

test(
  'NVFP4 cannot have another group_size than its own',
  marked(`
    model: model
    output: {dir: out}
    q_stage:
      q_modifiers:
        QuantizationModifier:
          scheme: NVFP4A16
    #             ^^^^^^^^ error group-size-indivisible: groups of 16 by definition
          ignore: [lm_head]
  `),
);

/** Codes of a recipe with this modifier that say what this version cannot run. */
const notRunnable = (modifier: string): Promise<string[]> =>
  inFolder({}, async (dir) => {
    const rows = 'calibration: {dataset: rows.jsonl, num_calibration_samples: 8, max_seq_length: 64}';
    const { problems } = await checkIn(dir, `model: model\noutput: {dir: out}\n${rows}\nq_stage: {q_modifiers: {${modifier}}}\n`);
    return problems.filter(({ code }) => code === 'scheme-not-runnable-yet').map(({ message }) => message);
  });

test('every float preset can be run, rounded or by GPTQ', async () => {
  for (const scheme of ['FP8', 'FP8_DYNAMIC', 'FP8_BLOCK', 'NVFP4A16', 'NVFP4', 'MXFP4A16', 'MXFP4', 'MXFP8A16', 'MXFP8', 'W4AFP8'])
    for (const name of ['QuantizationModifier', 'GPTQModifier'])
      assert.deepEqual(await notRunnable(`${name}: {scheme: ${scheme}, ignore: [lm_head]}`), [], `${name} ${scheme}`);
});

test('float schemes that no operation of ours makes are told with what is special about them', async () => {
  const nvfp4 = 'num_bits: 4, type: float, strategy: tensor_group, group_size: 16, scale_dtype: torch.float8_e4m3fn';
  for (const [args, part] of [
    ['weights: {num_bits: 8, type: float, strategy: channel, symmetric: false}', 'not symmetric'],
    ['weights: {num_bits: 4, type: float, strategy: group, group_size: 16}', 'strategy group, group_size 16'],
    ['weights: {num_bits: 4, type: float, strategy: group, group_size: 32}', 'scale_dtype null'],
    ['weights: {num_bits: 8, type: float, strategy: channel, scale_dtype: torch.float32}', 'with scale_dtype torch.float32'],
    [`weights: {${nvfp4}, actorder: group}`, 'actorder group'],
    ['weights: {num_bits: 8, type: float, strategy: channel}, format: pack-quantized', 'the format pack-quantized'],
    [
      'weights: {num_bits: 8, strategy: channel}, output_activations: {num_bits: 8, type: float, strategy: token, dynamic: true}',
      'asks for output_activations',
    ],
  ] as const) {
    const modifier = args.includes('actorder') ? 'GPTQModifier' : 'QuantizationModifier';
    const messages = await notRunnable(`${modifier}: {config_groups: {g: {targets: [Linear], ${args}}}, ignore: [lm_head]}`);
    assert.equal(messages.length, 1, `${args}: ${messages.join(' ')}`);
    assert.ok(messages[0]!.includes(part), messages[0]);
  }
});

test(
  'a broken pattern is told where it stands',
  marked(`${roundToNearest}
          config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}
          ignore: ["re:.*(gate", lm_head]
    #              ^^^^^^^^^^^^ error invalid-regular-expression
  `),
);

test('malformed YAML, duplicate keys, a list at the top', async () => {
  for (const [text, code] of [
    ['q_stage: [', 'yaml-syntax'],
    ['a: b: c', 'yaml-syntax'],
    ['- a', 'recipe-not-a-mapping'],
    ['', 'recipe-not-a-mapping'],
    ['q_stage: {q_modifiers: {GPTQModifier: {scheme: W4A16}, GPTQModifier: {scheme: W8A16}}}', 'duplicate-key'],
  ] as const) {
    const { problems } = await inFolder({ model: null }, (dir) => checkIn(dir, text));
    assert.ok(
      problems.some((problem) => problem.code === code),
      `${JSON.stringify(text)}: ${problems.map((problem) => problem.code).join(', ')}`,
    );
  }
});
