// A run that would need more memory than it may have: refused where nothing it can give up would help, else told what it will give up. And what the estimate counts.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';
import { tinyLlama } from '../../support/model-fixture.js';

const recipe = (more: string): string =>
  `model: model\noutput: {dir: out}\ncalibration: {dataset: long.jsonl, max_seq_length: 64}\n${more}q_stage:\n  q_modifiers:\n    GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}\n`;

const inLongRows = (work: (dir: string) => Promise<void>): Promise<void> =>
  inFolder({ model: tinyLlama() }, async (dir) => {
    writeFileSync(path.join(dir, 'long.jsonl'), `${JSON.stringify({ text: 'a word and another '.repeat(20) })}\n`.repeat(400));
    const question = JSON.stringify({ question: 'How many are two and three? '.repeat(8), answer: 'Five. #### 5' });
    writeFileSync(path.join(dir, 'gsm.jsonl'), `${question}\n`.repeat(200));
    await work(dir);
  });

test('between what a run takes and what it takes at the least: a warning with what it gives up; below that an error', () =>
  inLongRows(async (dir) => {
    const { plan } = await checkIn(dir, recipe(''));
    assert.ok(plan);
    const { peak_memory_bytes: peak, least_memory_bytes: least } = plan.estimate;
    assert.ok(least < peak - 1e6, `${least} and ${peak}`);
    const told = async (max_memory: number): Promise<string[]> =>
      (await checkIn(dir, recipe(`max_memory: ${max_memory}\n`))).problems
        .filter(({ code }) => code === 'memory-above-machine')
        .map(({ severity, message }) => `${severity} ${message}`);
    assert.deepEqual(await told(peak), []);
    const [warning = ''] = await told(Math.round((peak + least) / 2));
    assert.match(
      warning,
      /^warning \w.* needs about .* of memory, max_memory allows .*\. The run will put hidden states into files and pass fewer rows at a time, with which it needs about .* and takes longer\. Lower .*, or raise max_memory to save that time\.$/,
    );
    const [error = ''] = await told(least - 1);
    assert.match(error, /^error \w.* needs about .* of memory at the least, max_memory allows .*\. Lower .*, or raise max_memory\.$/);
  }));

test('what no choice of rows changes is not told as if it did: sums over rows, and a block without any', () =>
  inLongRows(async (dir) => {
    const told = async (text: string): Promise<string[]> =>
      (await checkIn(dir, text)).problems.filter(({ code }) => code === 'memory-above-machine').map(({ message }) => message);
    const [solved = ''] = await told(recipe('max_memory: 60MB\n'));
    assert.match(
      solved,
      /at the least, max_memory allows 60\.0 MB\. That is what one block takes, however few and short the rows\. Run it on a machine with more memory, or take QuantizationModifier with a scheme that needs no rows, or raise max_memory\.$/,
    );
    const [free = ''] = await told(
      'model: model\noutput: {dir: out}\nmax_memory: 60MB\nq_stage:\n  q_modifiers:\n    QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}\n',
    );
    assert.match(free, /however few and short the rows\. Run it on a machine with more memory, or raise max_memory\.$/);
  }));

test('on CUDA devices it is their own estimate, and max_device_memory that it is held against', () =>
  inLongRows(async (dir) => {
    const told = async (more: string): Promise<string[]> =>
      (await checkIn(dir, recipe(more))).problems
        .filter(({ code }) => code === 'memory-above-machine')
        .map(({ severity, message }) => `${severity} ${message}`);
    const { plan } = await checkIn(dir, recipe('device: cuda\n'));
    assert.ok(plan);
    const { peak_memory_bytes: peak } = plan.estimate.cuda;
    assert.ok(peak < plan.estimate.peak_memory_bytes, 'no process, no hidden states');
    // The memory of the machine is no limit of theirs.
    assert.deepEqual(await told('device: cuda\nmax_memory: 1MB\n'), []);
    assert.deepEqual(await told(`device: cuda:0,1\nmax_device_memory: ${peak}\n`), []);
    assert.deepEqual(await told(`max_device_memory: ${peak - 1}\n`), [], 'another device');
    const [warning = ''] = await told(`device: cuda\nmax_device_memory: ${peak - 1}\n`);
    assert.match(
      warning,
      /^warning \w.* needs about .* of memory, max_device_memory allows .*, or raise max_device_memory to save that time\.$/,
    );
  }));

test('the estimate counts every text and every question that is evaluated, and what is generated', () =>
  inLongRows(async (dir) => {
    const estimateWith = async (evaluate: string) => {
      const { plan, problems } = await checkIn(dir, recipe(evaluate));
      assert.ok(plan, problems.map(({ message }) => message).join('\n'));
      return plan.estimate;
    };
    const none = await estimateWith('');
    const text = await estimateWith('evaluate: {perplexity: {dataset: long.jsonl, max_seq_length: 64}}\n');
    const both = await estimateWith(
      'evaluate: {perplexity: {dataset: long.jsonl, max_seq_length: 64}, kl_divergence: {dataset: long.jsonl, max_seq_length: 64}}\n',
    );
    assert.ok(text.operations > none.operations);
    assert.ok(Math.abs((both.operations - text.operations) / (text.operations - none.operations) - 1) < 1e-9);
    const generated = (max_gen_toks: number) =>
      estimateWith(`evaluate: {generation: {dataset: gsm.jsonl, num_fewshot: 0, max_gen_toks: ${max_gen_toks}}}\n`);
    const [few, many] = [await generated(8), await generated(200)];
    assert.ok(few.operations > none.operations && many.operations >= few.operations);
  }));
