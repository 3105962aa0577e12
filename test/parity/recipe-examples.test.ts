// llm-compressor's own examples and end-to-end tests: on every recipe that the real package takes, ours says no error and no warning, without a model.
// Needs a checkout of llm-compressor (BITWRIGHT_LLM_COMPRESSOR) and a Python that can import it and compressed_tensors:
// BITWRIGHT_PYTHON (else python3) with BITWRIGHT_PYTHONPATH before PYTHONPATH.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { checkIn, inFolder } from '../support/recipe-fixture.js';
import { repositoryRoot } from '../support/shared.js';

/** A recipe of the checkout; `refusal` is what the real package says against it. */
interface Example {
  source: string;
  recipe: string;
  n_modifiers: number;
  refusal: string | null;
}

const checkout = process.env['BITWRIGHT_LLM_COMPRESSOR'];

function readExamples(folder: string): { examples: Example[]; leftOut: string } {
  const script = path.join(repositoryRoot, 'test', 'parity', 'recipe-examples.py');
  const paths = [process.env['BITWRIGHT_PYTHONPATH'], path.join(folder, 'src'), process.env['PYTHONPATH']].filter(Boolean);
  const { status, stdout, stderr, error } = spawnSync(process.env['BITWRIGHT_PYTHON'] ?? 'python3', [script, folder], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, PYTHONPATH: paths.join(path.delimiter), PYTHONDONTWRITEBYTECODE: '1' },
  });
  assert.equal(status, 0, error?.message ?? stderr);
  const examples = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Example);
  return { examples, leftOut: stderr.trim().split('\n').at(-1) ?? '' };
}

test(
  'the recipes of llm-compressor itself have no error and no warning',
  { skip: checkout === undefined && 'BITWRIGHT_LLM_COMPRESSOR names no checkout of llm-compressor' },
  async (context) => {
    const { examples, leftOut } = readExamples(checkout ?? '');
    const taken = examples.filter(({ refusal }) => refusal === null);
    context.diagnostic(`${examples.length} recipes, ${taken.length} that the package takes; ${leftOut}`);
    for (const { source, refusal } of examples) if (refusal !== null) context.diagnostic(`${source}: the package refuses it: ${refusal}`);
    assert.ok(taken.length >= 50, `${taken.length} recipes`);
    const faults: string[] = [];
    await inFolder({ model: null }, async (dir) => {
      for (const { source, recipe } of taken) {
        const { problems } = await checkIn(dir, recipe);
        // What Bitwright itself cannot run yet is no verdict about the recipe.
        const judged = problems.filter(({ code }) => !code.endsWith('-not-runnable-yet'));
        for (const { severity, code, message } of judged)
          if (severity === 'error' || severity === 'warning') faults.push(`${source}: ${severity} ${code}: ${message}`);
      }
    });
    assert.equal(faults.length, 0, `\n${faults.join('\n')}\n`);
  },
);
