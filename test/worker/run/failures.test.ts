// Everything that can be wrong with a model on the disk ends the run with a clear sentence that names the place, and leaves nothing as if whole.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runPlan, runToCompletion, type FinishedRun } from '../../support/worker-run.js';

const rtn4 = `quant_stage:
  quant_modifiers:
    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: group, group_size: 16}}}}
`;
const gptq4 = rtn4.replace('QuantizationModifier', 'GPTQModifier');

interface Setting {
  plan: QuantizationPlan;
  model: string;
  weights: string;
  output: string;
}

/** A tiny model and its plan; `spoil` then changes the folder, as a failing disk or another program would. */
async function afterPlanning(spoil: (setting: Setting) => void, recipe = rtn4): Promise<{ finished: FinishedRun; setting: Setting }> {
  return inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    writeFileSync(path.join(model, 'generation_config.json'), '{}');
    const rows = path.join(dir, 'rows.jsonl');
    writeFileSync(
      rows,
      Array.from(
        { length: 6 },
        (_, row) => `${JSON.stringify({ input_ids: Array.from({ length: 20 }, (_, i) => 3 + ((7 * row + 5 * i) % 90)) })}\n`,
      ).join(''),
    );
    const output = path.join(dir, 'out');
    const calibration = { dataset: rows, max_seq_length: 64 };
    const plan = await resolvePlan({ recipe, model, output, ...(recipe === gptq4 ? { calibration } : {}) });
    const setting = { plan, model, output, weights: path.join(model, 'model.safetensors') };
    spoil(setting);
    const finished = await runPlan(plan);
    assert.ok(!existsSync(output), 'no checkpoint appears');
    return { finished, setting };
  });
}

const failureOf = ({ finished }: { finished: FinishedRun }): { code: string; message: string; place: string | null } => {
  assert.equal(finished.ended.outcome, 'failed');
  assert.ok(finished.ended.failure);
  return finished.ended.failure;
};

/** Changes the file in place without changing its length. */
function patch(file: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(file);
  change(bytes);
  writeFileSync(file, bytes);
}

test('a truncated shard is refused before its bytes are used', async () => {
  const answer = await afterPlanning(({ weights }) => truncateSync(weights, 5000));
  const failure = failureOf(answer);
  assert.equal(failure.code, 'model-file-changed');
  assert.equal(failure.place, answer.setting.weights);
  assert.match(failure.message, /it has 5000 bytes and had \d+/);
});

test('a run folder in which another process is at work is left alone', async () => {
  const other = spawn('sleep', ['60']);
  const mark = (began: string | null): string =>
    JSON.stringify({
      run_id: 'other',
      pid: other.pid,
      ...(began === null ? {} : { process_began: began }),
      started_at: '2026-11-22T01:00:00.000Z',
      recipe: null,
      recipe_sha256: '',
      n_units: 1,
    });
  try {
    const began = readFileSync(`/proc/${other.pid}/stat`, 'utf8').split(' ')[21]!;
    for (const said of [began, null]) {
      const answer = await afterPlanning(({ output }) => {
        mkdirSync(`${output}.run/blocks`, { recursive: true });
        writeFileSync(`${output}.run/running.json`, mark(said));
        writeFileSync(`${output}.run/blocks/000.safetensors`, 'of the other');
      });
      const failure = failureOf(answer);
      assert.equal(failure.code, 'output-in-use');
      assert.ok(failure.message.includes(`process ${other.pid} since 2026-11-22T01:00:00.000Z`), failure.message);
      assert.equal(answer.finished.report, null, 'no report in place of that of the other');
    }
    // The number was given again: the process that stands there began at another time.
    await inTemporaryFolder(async (dir) => {
      writeTinyLlama(path.join(dir, 'model'), 'random');
      const plan = await resolvePlan({ recipe: rtn4, model: path.join(dir, 'model'), output: path.join(dir, 'out') });
      mkdirSync(path.join(dir, 'out.run'));
      writeFileSync(path.join(dir, 'out.run', 'running.json'), mark('1'));
      assert.equal((await runPlan(plan)).ended.outcome, 'completed');
    });
  } finally {
    other.kill();
  }
});

test('a header that changed under the plan is refused', async () => {
  const failure = failureOf(await afterPlanning(({ weights }) => patch(weights, (bytes) => bytes.write('f', bytes.indexOf('q_proj')))));
  assert.equal(failure.code, 'model-file-changed');
  assert.match(failure.message, /header differs/);
});

test('a missing shard is named', async () => {
  const answer = await afterPlanning(({ weights }) => rmSync(weights));
  assert.equal(failureOf(answer).code, 'file-unreadable');
  assert.equal(failureOf(answer).place, answer.setting.weights);
});

test('a plan whose header lies about a dtype or about the end of a tensor is refused', async () => {
  const dtype = failureOf(
    await afterPlanning(({ plan }) => (plan.model.tensors.find(({ name }) => name.includes('q_proj'))!.dtype = 'BF16')),
  );
  assert.equal(dtype.code, 'safetensors-header-invalid');
  assert.match(dtype.message, /q_proj\.weight is BF16 \[64, 64\], which takes 8192 bytes, and its header gives it 16384/);
  const end = failureOf(await afterPlanning(({ plan }) => (plan.model.tensors.at(-1)!.offset += 10 ** 9)));
  assert.equal(end.code, 'safetensors-header-invalid');
  assert.match(end.message, /ends at byte \d+ and the file has \d+/);
});

for (const [what, recipe] of [
  ['without calibration', rtn4],
  ['with calibration', gptq4],
] as const)
  test(`a NaN in a weight is found before it spreads, ${what}`, async () => {
    const { finished, setting } = await afterPlanning(({ plan, weights }) => {
      const tensor = plan.model.tensors.find(({ name }) => name === 'model.layers.1.mlp.up_proj.weight')!;
      patch(weights, (bytes) => {
        bytes.writeFloatLE(NaN, tensor.offset + 4 * 37);
        bytes.writeFloatLE(Infinity, tensor.offset + 4 * 40);
      });
    }, recipe);
    const failure = failureOf({ finished });
    assert.equal(failure.code, 'tensor-not-finite');
    assert.equal(failure.place, 'model.layers.1.mlp.up_proj.weight');
    assert.ok(failure.message.includes(setting.weights));
    assert.match(failure.message, /2 values that are NaN or infinite, the first at flat index 37/);
    assert.equal(finished.report?.outcome, 'failed');
    assert.ok(
      finished.report.layers.some(({ block }) => block === 0),
      'the report keeps what was finished',
    );
  });

test('a NaN in a norm is told as the input that broke', async () => {
  const failure = failureOf(
    await afterPlanning(({ plan, weights }) => {
      const tensor = plan.model.tensors.find(({ name }) => name === 'model.layers.0.input_layernorm.weight')!;
      patch(weights, (bytes) => bytes.writeFloatLE(NaN, tensor.offset));
    }, gptq4),
  );
  assert.equal(failure.code, 'activation-not-finite');
  assert.match(failure.message, /model\.layers\.0\.self_attn/);
});

test('a side file that went away stops the checkpoint, and running again when it is back resumes', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const side = path.join(model, 'generation_config.json');
    writeFileSync(side, '{}');
    const output = path.join(dir, 'out');
    const plan = await resolvePlan({ recipe: rtn4, model, output });
    rmSync(side);
    const failed = await runPlan(plan);
    assert.equal(failed.ended.failure?.code, 'file-unreadable');
    assert.equal(failed.ended.failure.place, side);
    assert.ok(!existsSync(output) && !existsSync(path.join(`${output}.run`, 'checkpoint')));
    writeFileSync(side, '{}');
    const { events } = await runToCompletion(plan);
    assert.ok(events.some((event) => event.kind === 'run-began' && event.resumed_blocks === 2));
  }));

test('what this version cannot do is said before the first weight is read', async () => {
  const failure = failureOf(
    await afterPlanning(({ plan, weights }) => {
      rmSync(weights);
      for (const layer of plan.layers) if (layer.scheme?.weights) layer.scheme.weights.observer = 'no_such_observer';
    }),
  );
  assert.equal(failure.code, 'plan-invalid');
  assert.match(failure.message, /there is no weight observer no_such_observer yet/);
  assert.match(failure.message, /and \d+ more/);
});

test('a plan that needs more memory than its limit is refused', async () => {
  const failure = failureOf(
    await afterPlanning(({ plan }) => {
      plan.max_memory_bytes = 1000;
      plan.estimate.peak_memory_bytes = 2000;
      plan.estimate.least_memory_bytes = 1500;
    }),
  );
  assert.equal(failure.code, 'memory-too-small');
});

function mountSmallDisk(dir: string): string | null {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=192k', 'tmpfs', dir], { stdio: 'ignore' });
    return null;
  } catch {
    return 'a small disk cannot be mounted here (needs root and mount)';
  }
}

test('a full disk: the sentence says so, no partial file is left, and with room the run resumes to the same bytes', async (t) => {
  await inTemporaryFolder(async (dir) => {
    const disk = path.join(dir, 'disk');
    mkdirSync(disk);
    const reason = mountSmallDisk(disk);
    if (reason !== null) return t.skip(reason);
    try {
      const model = path.join(dir, 'model');
      writeTinyLlama(model, 'random');
      const plan = await resolvePlan({ recipe: rtn4, model, output: path.join(disk, 'out') });
      plan.estimate.disk_bytes = 0; // The check before the run would refuse it; here the disk fills while it runs.
      const { ended } = await runPlan(plan);
      assert.equal(ended.outcome, 'failed');
      assert.equal(ended.failure?.code, 'disk-full', ended.failure?.message);
      assert.ok(!existsSync(path.join(disk, 'out')));
      const left = execFileSync('find', [disk, '-name', '*.partial'], { encoding: 'utf8' });
      assert.equal(left, '');

      execFileSync('mount', ['-o', 'remount,size=8m', disk]);
      const resumed = await runToCompletion(plan);
      assert.ok(resumed.events.some((event) => event.kind === 'run-began' && event.resumed_blocks > 0));
      const elsewhere = path.join(dir, 'elsewhere');
      await runToCompletion({ ...plan, output: { ...plan.output, dir: elsewhere } });
      assert.ok(readFileSync(path.join(disk, 'out', 'model.safetensors')).equals(readFileSync(path.join(elsewhere, 'model.safetensors'))));
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});

test(
  'a place where the system makes no folders is named, and the run ends',
  { skip: !existsSync('/proc/self') && 'there is no /proc here' },
  () =>
    inTemporaryFolder(async (dir) => {
      const model = path.join(dir, 'model');
      writeTinyLlama(model, 'random');
      const plan = await resolvePlan({ recipe: rtn4, model, output: path.join(dir, 'out') });
      plan.output.dir = '/proc/bitwright/out';
      const { ended } = await runPlan(plan);
      assert.equal(ended.failure?.code, 'file-unwritable', ended.failure?.message);
      assert.match(ended.failure.message, /\/proc\/bitwright/);
    }),
);

test('an output folder that is a file, or lies below one, is refused with the file that stands in the way', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const file = path.join(dir, 'notes.txt');
    writeFileSync(file, 'mine');
    const plan = await resolvePlan({ recipe: rtn4, model, output: path.join(dir, 'out') });
    for (const output of [file, path.join(file, 'x'), path.join(file, 'x', 'y')]) {
      plan.output.dir = output;
      const { ended } = await runPlan(plan);
      assert.equal(ended.failure?.code, 'output-not-a-folder', ended.failure?.message);
      assert.ok(
        ended.failure.message.includes(output === file ? `${file} is a file, and` : `${output} cannot be made, as ${file} is a file`),
      );
    }
    assert.equal(readFileSync(file, 'utf8'), 'mine');
    assert.ok(!existsSync(`${file}.run`), 'nothing was begun');
  }));

test('a disk that is too small for the plan is refused before the run', async () => {
  const failure = failureOf(await afterPlanning(({ plan }) => (plan.estimate.disk_bytes = 2 ** 60)));
  assert.equal(failure.code, 'disk-full');
  assert.match(failure.message, /^The run needs \S+ \S+ of disk in .* and beside it, and can use \S+ \S+ there\. Free space/);
});

test('the disk of the plan has room for what a run leaves, pictures, report and lock included', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const plan = await resolvePlan({ recipe: rtn4, model, output: path.join(dir, 'disk', 'out') });
    await runToCompletion(plan);
    const sizes = execFileSync('find', [path.join(dir, 'disk'), '-type', 'f', '-printf', '%s\n'], { encoding: 'utf8' });
    const left = sizes
      .trim()
      .split('\n')
      .reduce((sum, size) => sum + Number(size), 0);
    assert.ok(left > plan.estimate.weights_bytes_after && left <= plan.estimate.disk_bytes, `${left} of ${plan.estimate.disk_bytes}`);
  }));
