// The report of a run stands in for a run of the same recipe only as long as nothing that the run has read was changed.
import assert from 'node:assert/strict';
import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { currentReport } from '../../client/src/current-report.js';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import { requireBuild } from '../support/bitwright-process.js';
import { finishRun } from '../support/finished-run.js';
import { checkIn } from '../support/recipe-fixture.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('current-report');
const runDir = path.join(folder, 'out.run');

async function planNow(): Promise<QuantizationPlan> {
  const { plan, problems } = await checkIn(folder, readFileSync(path.join(folder, 'r.quant.yaml'), 'utf8'));
  assert.ok(plan, problems.map(({ message }) => message).join('\n'));
  return plan;
}

const isCurrent = async (): Promise<boolean> => (await currentReport(await planNow(), runDir)) !== null;

before(async () => {
  requireBuild('cli', 'server', 'worker');
  await finishRun(folder);
});

test('other weights under the same header, with the time of the ones before: the report is not theirs', async () => {
  assert.ok(await isCurrent());
  const file = path.join(folder, 'model', 'model.safetensors');
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
  utimesSync(file, new Date(0), new Date(0));
  assert.ok(!(await isCurrent()));
});

test('another text to measure on, of the same length: the report has figures of the one before', async () => {
  await finishRun(folder);
  assert.ok(await isCurrent());
  const file = path.join(folder, 'rows.jsonl');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('1', '2'));
  assert.ok(!(await isCurrent()));
});
