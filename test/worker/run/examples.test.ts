// Every recipe of examples/ runs from its text to the perplexity of the written file, on a few rows: what a user tries first.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { checkRecipe } from '../../../server/src/checks/check-recipe.js';
import { repositoryRoot } from '../../support/shared.js';
import { inTemporaryFolder, runToCompletion } from '../../support/worker-run.js';

const examples = path.join(repositoryRoot, 'examples');
const few = { num_calibration_samples: 4, max_seq_length: 48 };

describe('the recipes of examples/', { concurrency: 2 }, () => {
  for (const name of readdirSync(examples).filter((file) => file.endsWith('.quant.yaml')))
    test(name, () =>
      inTemporaryFolder(async (dir) => {
        const { plan, problems } = await checkRecipe(readFileSync(path.join(examples, name), 'utf8'), {
          recipePath: path.join(examples, name),
          baseDir: examples,
          files: nodeFiles,
          environment: {},
          describe: (folder) => describeModel(folder, nodeFiles),
        });
        assert.ok(plan, problems.map(({ message }) => message).join('\n'));
        plan.output.dir = path.join(dir, 'out');
        for (const text of [plan.calibration, plan.evaluate?.perplexity, plan.evaluate?.kl_divergence]) if (text) Object.assign(text, few);
        // It has tests of its own.
        delete plan.depth;
        // So few rows calibrate badly: what stops such a run is not to be shown here.
        if (plan.canary) plan.canary.max_mean_kld = 10;
        const { report } = await runToCompletion(plan);
        assert.ok(report.layers.length >= 28, `${report.layers.length} layers`);
        const { after, kl_divergence } = report.quality ?? {};
        const perplexity = after?.perplexity ?? kl_divergence?.perplexity ?? NaN;
        // Every token of its vocabulary as likely as any other.
        assert.ok(perplexity < 1024, `perplexity ${perplexity}`);
      }),
    );
});
