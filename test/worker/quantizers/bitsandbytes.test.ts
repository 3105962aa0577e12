// NF4 against what the real bitsandbytes stores (test/golden/nf4.safetensors, written by test/parity/bitsandbytes-goldens.py), and whole runs of BitsAndBytesModifier.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { loadBitsAndBytes } from '../../../worker/src/checkpoint/formats/bitsandbytes.js';
import { openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { bitsandbytes } from '../../../worker/src/quantizers/bitsandbytes.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot } from '../../support/shared.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const file = path.join(repositoryRoot, 'test/golden/nf4.safetensors');
const stateOf = (bytes: Uint8Array): Record<string, unknown> => JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;

for (const dtype of ['bfloat16', 'float16', 'float32'])
  for (const kind of ['double', 'single'])
    test(`${dtype} weights with magnitudes quantized ${kind === 'double' ? 'again' : 'once'} are bitsandbytes' bytes, and are read as it reads them`, () =>
      withDevice(async (device) => {
        const { tensors } = await readSafetensorsHeader(nodeFiles, file, 'nf4.safetensors');
        const golden = openTensorReader(
          device,
          tensors.map((tensor) => ({ tensor, file })),
        );
        using weight = golden.load(`${dtype}.given`);
        const [rows = 0, columns = 0] = weight.shape;
        const layer = layerPlan({ name: 'linear', rows, columns, weights: { group_size: 64 } });
        const plan = {
          name: 'bitsandbytes',
          modifier: 'BitsAndBytesModifier',
          recipe_path: [] as string[],
          bnb_4bit_use_double_quant: kind === 'double',
          bnb_4bit_compute_dtype: 'bfloat16',
        } as const;
        const encoded = await bitsandbytes.encode({ layer, plan, weight, fused: [], hessian: null });
        using read = encoded.read;
        using wantedRead = golden.load(`${dtype}.${kind}.read`);
        assert.equal(encoded.parts.length, kind === 'double' ? 6 : 4);
        // The mean of the magnitudes is theirs but for the last place, and all else to the bit.
        for (const { suffix, tensor } of encoded.parts) {
          const part = suffix === '.weight' ? 'weight' : suffix.slice('.weight.'.length);
          using wanted = golden.load(`${dtype}.${kind}.${part}`);
          const [own, theirs] = [await tensor.read(), await wanted.read()];
          if (part.startsWith('quant_state')) {
            const { nested_offset: ownMean = 0, ...ownRest } = stateOf(own);
            const { nested_offset: mean = 0, ...rest } = stateOf(theirs);
            assert.deepEqual(ownRest, rest);
            assert.ok(Math.abs(Number(ownMean) - Number(mean)) <= 1e-6 * Math.abs(Number(mean)), `${String(ownMean)} for ${String(mean)}`);
          } else {
            assert.deepEqual(tensor.shape, wanted.shape, part);
            if (part === 'nested_absmax') assert.ok((await tensor.readFloats()).every(Number.isFinite));
            else assert.deepEqual(own, theirs, part);
          }
          tensor.dispose();
        }
        const [own, theirs] = [await floats(read), await floats(wantedRead)];
        own.forEach((value, i) =>
          assert.ok(Math.abs(value - theirs[i]!) <= 0.01 * Math.abs(theirs[i]!), `${i}: ${value} for ${theirs[i]}`),
        );
        assert.ok(
          own.subarray(3 * columns, 4 * columns).every((value) => value === 0),
          'a row of zeros stays',
        );
      }));

async function floats(tensor: { dtype: string; read(): Promise<Uint8Array> }): Promise<Float32Array> {
  const bytes = await tensor.read();
  if (tensor.dtype === 'F32') return new Float32Array(bytes.slice().buffer);
  const halves = new Uint16Array(bytes.slice().buffer);
  const word = new DataView(new ArrayBuffer(4));
  return Float32Array.from(halves, (bits) => {
    if (tensor.dtype === 'BF16') {
      word.setUint32(0, bits << 16);
      return word.getFloat32(0);
    }
    const [sign, exponent, mantissa] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  });
}

for (const double of [true, false])
  test(`a run stores what its plan estimated, reads it back and says what it is, double quantization ${double}`, () =>
    inTemporaryFolder(async (dir) => {
      const model = path.join(dir, 'model');
      writeTinyLlama(model, 'random');
      const output = path.join(dir, 'out');
      const recipe = `q_stage:\n  q_modifiers:\n    BitsAndBytesModifier: {ignore: [lm_head], bnb_4bit_use_double_quant: ${double}}\n`;
      const plan = await resolvePlan({ recipe, model, output });
      const { report } = await runToCompletion(plan);
      assert.deepEqual(report.problems, []);
      assert.equal(report.layers.length, 7 * tinyLlama.blocks);
      const stored = report.layers.reduce((sum, { bytes_after }) => sum + bytes_after, 0);
      const weights = report.layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
      assert.ok(Math.abs((stored * 8) / weights / plan.estimate.bits_per_weight - 1) < 0.01, `${(stored * 8) / weights}`);
      for (const layer of report.layers) {
        assert.equal(layer.scheme, double ? 'nf4 g64, double quantized' : 'nf4 g64');
        assert.ok((layer.weight_sqnr_db ?? 0) > 18, `${layer.name} ${layer.weight_sqnr_db}`);
      }
      const config = JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8')) as { quantization_config: Record<string, unknown> };
      assert.equal(config.quantization_config['load_in_4bit'], true);
      assert.deepEqual(config.quantization_config['llm_int8_skip_modules'], ['lm_head']);
      const { model: written, problems } = await describeModel(output, nodeFiles);
      assert.deepEqual(problems, []);
      assert.equal(Object.keys(written?.quantization?.layers ?? {}).length, 7 * tinyLlama.blocks);
      await withDevice(async (device) => {
        const reader = openTensorReader(
          device,
          (written?.tensors ?? []).map((tensor) => ({ tensor, file: path.join(output, tensor.file) })),
        );
        using weight = await loadBitsAndBytes(reader, 'model.layers.0.mlp.down_proj');
        assert.deepEqual(weight.shape, [tinyLlama.hidden, tinyLlama.mlp]);
      });
    }));
