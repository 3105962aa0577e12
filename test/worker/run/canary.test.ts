// The canary: its figures are those of an evaluation of the model with the blocks so far quantized, it stops a run that goes on when it is allowed to, and it changes no byte.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import type { NativeDevice } from '../../../worker/src/native-core.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, resolvePlan, runPlan, runToCompletion } from '../../support/worker-run.js';

const skip = skipWithoutShared;
const text = (name: string): string => JSON.stringify(sharedPath('data', 'text', `tinystories-${name}.jsonl`));
const evaluate = `evaluate: {kl_divergence: {dataset: ${text('validation')}, num_samples: 4, max_seq_length: 128}}\n`;
const canary = (fields: string): string => `canary: {max_seq_length: 128, ${fields}}\n`;
const gptq = `quant_stage:
  quant_modifiers:
    GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, strategy: channel}}}}
`;
const rtn = (targets: string): string => `quant_stage:
  quant_modifiers:
    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [${targets}], weights: {num_bits: 3, type: int, strategy: channel}}}}
`;
const everyLinear = rtn('Linear');

const stories = (output: string, recipe: string, isCalibrated = true): Promise<QuantizationPlan> =>
  resolvePlan({
    recipe,
    model: sharedPath('data', 'models', 'stories260K'),
    output,
    ...(isCalibrated
      ? {
          calibration: {
            dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'),
            num_calibration_samples: 16,
            max_seq_length: 128,
          },
        }
      : {}),
  });

const bytesOf = (output: string): Buffer => readFileSync(path.join(output, 'model.safetensors'));
/** Behind which blocks it was measured, as events tell it, and how often its stage ran. */
const told = (events: readonly RunEvent[]): { blocks: number[]; n_stages: number } => ({
  blocks: events.flatMap((event) => (event.kind === 'canary-measured' ? [event.figure.block] : [])),
  n_stages: events.filter((event) => event.kind === 'stage-began' && event.stage === 'canary' && event.detail !== 'tokenizing').length,
});

for (const [method, recipe, isCalibrated] of [
  ['GPTQ', gptq, true],
  ['a rotation and GPTQ', gptq.replace('    GPTQ', '    HadamardModifier: {}\n    GPTQ'), true],
  ['Qronos, which compares with the unquantized model', gptq.replace('GPTQ', 'Qronos'), true],
  ['rounding, without calibration', everyLinear, false],
  [
    'rounding with an input quantizer',
    everyLinear.replace(
      'strategy: channel}}}}',
      'strategy: channel}, input_activations: {num_bits: 8, type: int, strategy: token, symmetric: true, dynamic: true}}}}',
    ),
    false,
  ],
] as const)
  test(
    `${method}: behind the last block it is what evaluate measures of the file, and the bytes are those of a run without it`,
    { skip },
    () =>
      inTemporaryFolder(async (dir) => {
        const without = await runToCompletion(await stories(path.join(dir, 'without'), evaluate + recipe, isCalibrated));
        const plan = await stories(path.join(dir, 'with'), `${evaluate}${canary('max_mean_kld: 90, every: 1')}${recipe}`, isCalibrated);
        assert.deepEqual(
          [plan.canary?.every, plan.canary?.dataset.num_calibration_samples, plan.canary?.dataset.max_seq_length],
          [1, 4, 128],
        );
        const { report, events } = await runToCompletion(plan);
        assert.deepEqual(told(events), { blocks: [0, 1, 2, 3, 4], n_stages: 5 });
        const figures = report.canary?.figures ?? [];
        const divergence = report.quality?.kl_divergence;
        const { block, ...last } = figures.at(-1)!;
        assert.equal(block, 4);
        assert.deepEqual(last, {
          mean_kld: divergence?.mean_kld,
          kld_stderr: divergence?.kld_stderr,
          same_top: divergence?.same_top,
          tokens: divergence?.tokens,
        });
        assert.ok((figures[0]?.mean_kld ?? 0) > 0 && (figures[0]?.mean_kld ?? 1) < last.mean_kld);
        assert.ok(bytesOf(plan.output.dir).equals(bytesOf(path.join(dir, 'without'))));
        assert.ok(report.stages.some(({ name }) => name === 'canary'));
        // Without one nothing of it is done, and nothing is told.
        assert.ok(!without.report.stages.some(({ name }) => name === 'canary'));
        assert.equal(without.report.canary, undefined);
        assert.deepEqual(told(without.events), { blocks: [], n_stages: 0 });
        for (const name of ['canary', 'canary.json']) assert.ok(!existsSync(path.join(`${plan.output.dir}.run`, name)), name);
      }),
  );

test('behind a block in the middle it is what evaluate measures where only the blocks up to it are quantized', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const whole = await stories(path.join(dir, 'whole'), `${evaluate}${canary('max_mean_kld: 90, every: 2')}${everyLinear}`, false);
    const { report, events } = await runToCompletion(whole);
    assert.deepEqual(told(events).blocks, [1, 3]);
    for (const { block, mean_kld, same_top } of report.canary?.figures ?? []) {
      const some = evaluate + rtn(`'re:.*layers\\.[0-${block}]\\..*_proj'`);
      const half = await runToCompletion(await stories(path.join(dir, `half-${block}`), some, false));
      const { kl_divergence } = half.report.quality ?? {};
      assert.deepEqual([mean_kld, same_top], [kl_divergence?.mean_kld, kl_divergence?.same_top], `block ${block}`);
    }
  }),
);

test('a run that comes too far stops, and goes on with another limit to the bytes and figures of an unbroken one', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const recipe = (limit: number): string => `${canary(`max_mean_kld: ${limit}, every: 1`)}${gptq}`;
    const unbroken = await runToCompletion(await stories(path.join(dir, 'unbroken'), recipe(90)));
    const figures = unbroken.report.canary?.figures ?? [];
    const output = path.join(dir, 'stopped');
    const limit = ((figures[1]?.mean_kld ?? 0) + (figures[2]?.mean_kld ?? 0)) / 2;

    const stopped = await runPlan(await stories(output, recipe(limit)));
    assert.equal(stopped.ended.outcome, 'failed');
    assert.equal(stopped.ended.output_dir, null);
    const { code, message } = stopped.ended.failure!;
    assert.equal(code, 'canary-stopped');
    assert.match(message, /^The canary stopped the run behind block 2 of 5: .* nats behind block 1\), and canary\.max_mean_kld allows/);
    const worst = stopped.report!.layers.reduce((a, b) => ((b.relative_output_error ?? 0) > (a.relative_output_error ?? 0) ? b : a));
    assert.ok(message.includes(`largest error so far is ${worst.name} (`), message);
    assert.ok(!existsSync(output), 'nothing appears as if whole');
    assert.deepEqual(stopped.report?.canary?.figures, figures.slice(0, 3));
    assert.equal(stopped.report.size.weights_bytes_after, unbroken.report.size.weights_bytes_after);
    assert.deepEqual(
      stopped.report.problems.filter(({ severity }) => severity === 'error').map((problem) => [problem.code, problem.recipe_path]),
      [['canary-stopped', ['canary', 'max_mean_kld']]],
    );
    assert.deepEqual(told(stopped.events), { blocks: [0, 1, 2], n_stages: 3 });

    // Nothing was changed: it stops where it stopped, and no work is done for it.
    const again = await runPlan(await stories(output, recipe(limit)));
    assert.equal(again.ended.failure?.message, message);
    assert.deepEqual(told(again.events), { blocks: [0, 1, 2], n_stages: 0 });
    assert.ok(!again.events.some((event) => event.kind === 'stage-began' && event.stage === 'quantize'));

    const raised = await runToCompletion(await stories(output, recipe(90)));
    assert.equal(raised.events.find((event) => event.kind === 'run-began')?.resumed_blocks, 3);
    assert.deepEqual(told(raised.events), { blocks: [0, 1, 2, 3, 4], n_stages: 2 });
    assert.deepEqual(raised.report.canary?.figures, figures);
    assert.ok(bytesOf(output).equals(bytesOf(path.join(dir, 'unbroken'))));
  }),
);

test('a run that stopped goes on without a canary; other rows are measured anew', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const output = path.join(dir, 'out');
    const stopped = await runPlan(await stories(output, `${canary('max_mean_kld: 1e-9, every: 1')}${gptq}`));
    assert.equal(stopped.ended.failure?.code, 'canary-stopped');
    const fewer = await runPlan(await stories(output, `${canary('max_mean_kld: 1e-9, every: 1, num_samples: 2')}${gptq}`));
    assert.deepEqual(told(fewer.events), { blocks: [0], n_stages: 1 });
    assert.notEqual(fewer.report?.canary?.figures[0]?.tokens, stopped.report?.canary?.figures[0]?.tokens);
    const { events, report } = await runToCompletion(await stories(output, gptq));
    assert.equal(events.find((event) => event.kind === 'run-began')?.resumed_blocks, 1);
    assert.equal(report.canary, undefined);
    await runToCompletion(await stories(path.join(dir, 'whole'), gptq));
    assert.ok(bytesOf(output).equals(bytesOf(path.join(dir, 'whole'))));
  }),
);

test('where memory lacks for it the run goes on without it, says so, and cuts nothing else for it', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    await runToCompletion(await stories(path.join(dir, 'without'), gptq));
    const output = path.join(dir, 'out');
    let native: NativeDevice | undefined;
    const { report, events } = await runToCompletion(await stories(output, `${canary('max_mean_kld: 90, every: 1')}${gptq}`), {
      seeDevice: (device) => (native = device.native),
      onEvent: (event) => {
        if (event.kind === 'stage-began' && event.detail === 'behind block 1') native?.limitMemory(1);
        if (event.kind === 'stage-ended' && event.stage === 'canary') native?.limitMemory(0);
      },
    });
    assert.deepEqual(told(events), { blocks: [0], n_stages: 2 });
    const [problem, ...others] = report.problems.filter(({ code }) => code === 'canary-not-measured');
    assert.deepEqual([problem?.severity, problem?.recipe_path, others.length], ['warning', ['canary'], 0]);
    assert.match(
      problem?.message ?? '',
      /^The canary behind block 1 could not be measured, and is not from here on: .* is free: of .* goes on/,
    );
    for (const { code, message } of report.problems) assert.ok(code !== 'memory-degraded' || !message.includes('batches of'), message);
    assert.ok(bytesOf(output).equals(bytesOf(path.join(dir, 'without'))));
  }),
);

test('the text of a calibration that only the canary reads; where it is not what it was, the run stops before its work', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await stories(path.join(dir, 'out'), `${canary('max_mean_kld: 1')}${everyLinear}`);
    assert.equal(plan.calibration, null);
    assert.equal(plan.canary?.every, 1);
    plan.canary.dataset.bytes += 1;
    const { ended, events } = await runPlan(plan);
    assert.equal(ended.failure?.code, 'model-file-changed');
    assert.ok(!events.some((event) => event.kind === 'stage-began' && event.stage === 'quantize'));
  }),
);
