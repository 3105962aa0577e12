// A run whose recipe asks for every evaluation: all figures are in the report, of both sides, and agree with each other.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { checkRecipe } from '../../../server/src/checks/check-recipe.js';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, runToCompletion } from '../../support/worker-run.js';

test('every evaluation of a recipe is in the report', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const story = {
      question: 'Once upon a time, Tim had 2 balls and found 3. How many balls did Tim have?',
      choices: ['5', '6'],
      answer: 'A',
    };
    writeFileSync(path.join(dir, 'choices.jsonl'), `${JSON.stringify(story)}\n`.repeat(3));
    writeFileSync(
      path.join(dir, 'questions.jsonl'),
      `${JSON.stringify({ question: story.question, answer: 'He had 5.\n#### 5' })}\n`.repeat(2),
    );
    const text = JSON.stringify(sharedPath('data', 'text', 'tinystories-validation.jsonl'));
    const recipe = `
model: ${JSON.stringify(sharedPath('data', 'models', 'stories260K'))}
output: {dir: out}
device: cpu
evaluate:
  perplexity: {dataset: ${text}, num_samples: 6, max_seq_length: 128}
  kl_divergence: {dataset: ${text}, num_samples: 6, max_seq_length: 128}
  multiple_choice: {dataset: choices.jsonl, answers: texts}
  generation: {dataset: questions.jsonl, max_gen_toks: 12}
q_stage:
  q_modifiers:
    QuantizationModifier:
      config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}
      ignore: [lm_head]
`;
    const { plan, problems } = await checkRecipe(recipe, {
      recipePath: path.join(dir, 'test.quant.yaml'),
      baseDir: dir,
      files: nodeFiles,
      environment: {},
      describe: (model) => describeModel(model, nodeFiles),
    });
    assert.ok(plan, problems.map(({ message }) => message).join('\n'));
    const { report, events } = await runToCompletion(structuredClone(plan));
    const { quality } = report;
    assert.ok(quality?.before && quality.after && quality.kl_divergence);
    const { kl_divergence: divergence, multiple_choice, generation } = quality;
    assert.equal(divergence.tokens, quality.after.tokens);
    assert.ok(
      Math.abs(divergence.perplexity / quality.after.perplexity - 1) < 1e-6,
      `${divergence.perplexity}, not ${quality.after.perplexity}`,
    );
    assert.ok(Math.abs(divergence.perplexity_original / quality.before.perplexity - 1) < 1e-6);
    assert.ok(divergence.mean_kld > 1e-4 && divergence.mean_kld < divergence.kld.p99 && divergence.kld.min >= 0, `${divergence.mean_kld}`);
    assert.ok(divergence.same_top > 0.5 && divergence.same_top < 1);
    assert.ok(divergence.delta_p.min < 0 && divergence.delta_p.max > 0);
    assert.deepEqual([multiple_choice?.before?.questions, multiple_choice?.after?.questions], [3, 3]);
    assert.deepEqual([generation?.before?.tokens, generation?.after?.tokens], [24, 24]);
    const fractions = events.flatMap((event) => (event.kind === 'progress' ? [event.fraction] : []));
    assert.deepEqual(
      fractions,
      fractions.toSorted((a, b) => a - b),
    );
  }),
);
