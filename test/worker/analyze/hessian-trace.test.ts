// The trace of the Hessian: products with the signs against torch's second derivatives, and their mean against the exact trace.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { asSensitivity } from '../../../schemas/src/validate.js';
import type { LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { analyze } from '../../../worker/src/analyze/analyze.js';
import { HessianProbes, traceOf, type ProbeProducts } from '../../../worker/src/analyze/hessian-trace.js';
import { batchDocuments } from '../../../worker/src/calibration/token-batches.js';
import type { DecoderModel } from '../../../worker/src/models/model.js';
import { openDecoder } from '../../../worker/src/models/open-decoder.js';
import { fakeQuantizeDynamic } from '../../../worker/src/tensor/operations/forward.js';
import { writeDataset } from '../../support/dataset-file.js';
import { failureCode } from '../../support/failures.js';
import { describedModel } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan } from '../../support/worker-run.js';

interface Golden {
  rows: number[][];
  products: Record<string, number>;
  short?: number[];
  traces?: Record<string, number>;
}
/** test/parity/hessian-goldens.py. */
const goldens = JSON.parse(readFileSync(path.join(repositoryRoot, 'test', 'golden', 'hessian.json'), 'utf8')) as Record<string, Golden>;

const layersOf = (names: readonly string[]): LayerPlan[] =>
  names.map((name) => {
    const block = /\.layers\.(\d+)\./.exec(name)?.[1];
    return { name, tensor: `${name}.weight`, block: block === undefined ? null : Number(block) } as LayerPlan;
  });

interface Wish {
  probes?: number;
  kind?: 'cpu' | 'cuda';
  threads?: number;
  /** What the last norm answers goes through an operation that rounds. */
  rounds?: boolean;
}

function rounding(decoder: DecoderModel): DecoderModel {
  const finalNorm: DecoderModel['finalNorm'] = (hidden, weights) => {
    using normed = decoder.finalNorm(hidden, weights);
    return fakeQuantizeDynamic(normed, { num_bits: 8, symmetric: true, strategy: 'token' });
  };
  return Object.create(decoder, { finalNorm: { value: finalNorm } }) as DecoderModel;
}

function probed(dir: string, rows: readonly number[][], names: readonly string[], wish: Wish = {}): Promise<(ProbeProducts | string)[]> {
  const { probes = 1, kind = 'cpu', threads = 2, rounds = false } = wish;
  return withDevice(
    (device) =>
      inTemporaryFolder(async (folder) => {
        const model = await describedModel(dir);
        const documents = rows.map((row) => Int32Array.from(row));
        using tokens = batchDocuments(documents, [device], { batchTokens: 64 });
        using decoder = openDecoder(model, device, tokens.longest, 'The test');
        const hessian = new HessianProbes({
          model,
          layers: layersOf(names),
          tokens,
          decoder: rounds ? rounding(decoder) : decoder,
          device,
          dir: folder,
          // No room: hidden states and gradients go through files.
          budget: { device: 0, host: 0 },
          onBatch: () => undefined,
        });
        const found: (ProbeProducts | string)[] = [];
        for (let probe = 0; probe < probes; probe += 1) found.push(await hessian.measure(probe));
        return found;
      }),
    threads,
    kind,
  );
}

const folderOf = (name: string): string => sharedPath('golden', 'architectures', name);

/** Differences err by 0.1 % of the products, as a root mean square over the layers of the model that it is most for. */
const bound = 5e-3;

for (const [name, { rows, products }] of Object.entries(goldens))
  for (const kind of name === 'qwen3' ? (['cpu', 'cuda'] as const) : (['cpu'] as const))
    test(`${name}, ${kind}: products of the Hessian with the signs are those of torch`, { skip: skipWithoutShared }, async () => {
      const [found = ''] = await probed(folderOf(name), rows, Object.keys(products), { kind });
      assert.ok(typeof found !== 'string');
      const expected = Object.values(products);
      const size = Math.sqrt(expected.reduce((sum, value) => sum + value ** 2, 0) / expected.length);
      for (const [layer, product] of Object.entries(products)) {
        assert.ok(Math.abs(found[layer]! - product) <= bound * size, `${layer}: ${found[layer]}, not ${product}`);
      }
    });

test('the mean over probes is the exact trace, as near as its standard error says', { skip: skipWithoutShared }, async () => {
  const { short = [], traces = {} } = goldens.llama!;
  const found = await probed(folderOf('llama'), [short], Object.keys(traces), { probes: 128 });
  for (const [layer, exact] of Object.entries(traces)) {
    const { value, standard_error, probes } = traceOf(found.map((products) => (products as ProbeProducts)[layer] ?? NaN));
    assert.equal(probes, 128);
    assert.ok(Math.abs(value - exact) <= 3 * standard_error!, `${layer}: ${value} ± ${standard_error}, not ${exact}`);
  }
});

test('one thread and two find the same to the bit', { skip: skipWithoutShared }, async () => {
  const { rows, products } = goldens.qwen3!;
  const on = (threads: number) => probed(folderOf('qwen3'), rows, Object.keys(products), { threads });
  assert.deepEqual(await on(1), await on(2));
});

test('rows of one token and operations that round are told', { skip: skipWithoutShared }, async () => {
  const { rows, products } = goldens.llama!;
  const names = Object.keys(products);
  assert.match(String((await probed(folderOf('llama'), [[1], [2]], names))[0]), /^no calibration row has two tokens/);
  const rounded = await probed(folderOf('llama'), rows, names, { rounds: true });
  assert.equal(rounded[0], 'the model runs the operation fake_quantize_dynamic, which has no gradient.');
});

test('the standard error is that of a mean, and one probe tells none', () => {
  assert.deepEqual(traceOf([1, 2, 6]), { value: 3, standard_error: Math.sqrt(14 / 6), probes: 3 });
  assert.deepEqual(traceOf([5]), { value: 5, standard_error: null, probes: 1 });
});

async function planIn(dir: string, weights: 'zero' | 'random' = 'random'): Promise<QuantizationPlan> {
  const model = path.join(dir, 'model');
  writeTinyLlama(model, weights);
  const dataset = path.join(dir, 'rows.jsonl');
  const row = (seed: number): number[] => Array.from({ length: 24 }, (_, i) => (seed * 31 + i * i * 7 + i) % 96);
  writeDataset(
    dataset,
    [1, 2, 3].map((seed) => ({ input_ids: row(seed) })),
  );
  return resolvePlan({
    recipe:
      'quant_stage: {quant_modifiers: {GPTQModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}}}',
    model,
    output: path.join(dir, 'out'),
    calibration: { dataset, num_calibration_samples: 3, max_seq_length: 24 },
  });
}

async function analyzed(plan: QuantizationPlan, hessianProbes: number, hear: (message: string) => void = () => undefined) {
  const watch = { onProgress: (_: number, message: string) => hear(message), throwIfCancelled: () => undefined };
  const rest = { bits: [4], endToEnd: false, fisher: false, keepWeights: false, kind: 'cpu', version: 'test', watch } as const;
  const { dir } = await withDevice((device) => analyze({ plan, hessianProbes, device, ...rest }));
  const text = readFileSync(path.join(dir, 'sensitivity.json'), 'utf8');
  const checked = asSensitivity(JSON.parse(text));
  assert.ok('analysis' in checked, 'error' in checked ? checked.error : '');
  return { dir, text, ...checked.analysis };
}

test('an analysis keeps its probes, adds those that it lacks, and continues behind the last that was finished', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir);
    const before = await analyzed(plan, 0);
    assert.ok(before.not_measured.includes('hessian_loss and hessian_trace: not asked for (on the command line: --hessian-trace).'));
    assert.ok(before.layers.every(({ hessian_trace }) => hessian_trace === undefined));
    const { text: three, layers, not_measured } = await analyzed(plan, 3);
    assert.ok(!not_measured.some((line) => line.startsWith('hessian')));
    assert.equal(layers.length, 15);
    for (const { hessian_trace, candidates } of layers) {
      assert.ok(hessian_trace?.probes === 3 && (hessian_trace.standard_error ?? 0) > 0);
      for (const { hessian_loss, weight_mse } of candidates) assert.equal(hessian_loss, (hessian_trace.value * weight_mse) / 2);
    }
    assert.ok(!existsSync(path.join(before.dir, 'temporary')));
    // Fewer, or none: what is known stays.
    assert.equal((await analyzed(plan, 0)).text, three);
    const passes: string[] = [];
    const five = await analyzed(plan, 5, (message) => passes.push(message));
    assert.deepEqual(
      [...new Set(passes.flatMap((message) => /^probe \d of 5(?=, gradients)/.exec(message)?.[0] ?? []))],
      ['probe 4 of 5', 'probe 5 of 5'],
    );
    const fresh = { ...plan, output: { ...plan.output, dir: path.join(dir, 'fresh') } };
    const stop = (message: string): void => assert.ok(!message.startsWith('probe 3'), 'stopped');
    await assert.rejects(analyzed(fresh, 5, stop), /stopped/);
    const known = readFileSync(path.join(dir, 'fresh.analysis', 'journal.jsonl'), 'utf8');
    assert.equal(known.match(/"probe"/g)?.length, 2);
    assert.equal((await analyzed(fresh, 5)).text, five.text);
  }));

test('what has no Hessian is refused or named: no rows, weights that are all zero, weights that are no numbers', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir);
    await assert.rejects(
      analyzed({ ...plan, calibration: null }, 2),
      failureCode('analysis-impossible', /^The trace of the Hessian needs the gradients of calibration rows, and the recipe has none/),
    );
    const { layers } = await analyzed(await planIn(path.join(dir, 'zero'), 'zero'), 2);
    // Every token stays as likely as any other.
    for (const { hessian_trace } of layers) assert.deepEqual(hessian_trace, { value: 0, standard_error: 0, probes: 2 });
    const broken = async (tensor: string) => {
      const own = await planIn(path.join(dir, tensor));
      const file = path.join(own.model.dir, 'model.safetensors');
      const bytes = readFileSync(file);
      const begin = 8 + Number(bytes.readBigUInt64LE(0));
      const header = JSON.parse(bytes.subarray(8, begin).toString()) as Record<string, { data_offsets: [number, number]; dtype: string }>;
      bytes.fill(0xff, begin + header[tensor]!.data_offsets[0], begin + header[tensor]!.data_offsets[0] + 4);
      writeFileSync(file, bytes);
      return analyzed(own, 2);
    };
    await assert.rejects(broken('model.layers.1.mlp.up_proj.weight'), failureCode('tensor-not-finite', /layers\.1\.mlp\.up_proj\.weight/));
    await assert.rejects(broken('model.norm.weight'), failureCode('loss-not-finite', /the gradient for \S+\.weight, moved by \S+, is NaN/));
  }));
