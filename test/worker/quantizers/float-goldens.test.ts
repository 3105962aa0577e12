// What compressed-tensors stores of awkward weights (zeros, -0, ties, powers of two, parts of groups and blocks) under every float scheme, by both weight
// observers and in all three dtypes: the same bytes. Recorded by test/golden/make_goldens.py.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { compressedTensorsFormats } from '../../../worker/src/checkpoint/formats/compressed-tensors.js';
import { weightAsRead } from '../../../worker/src/checkpoint/formats/floats.js';
import { openTensorReader, type PlacedTensor } from '../../../worker/src/checkpoint/tensor-reader.js';
import type { DType } from '../../../worker/src/native-core.js';
import { layerArgs } from '../../../worker/src/quantizers/weight-observer.js';
import { rtn } from '../../../worker/src/quantizers/rtn.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { layerPlan, weightArgs } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot } from '../../support/shared.js';
import { readTensors } from '../../support/worker-run.js';

const file = path.join(repositoryRoot, 'test', 'golden', 'float-weights.safetensors');

const schemes: Record<string, Partial<QuantizationArgs> & { format: keyof typeof compressedTensorsFormats }> = {
  tensor: { num_bits: 8, strategy: 'tensor', format: 'float-quantized' },
  channel: { num_bits: 8, strategy: 'channel', format: 'float-quantized' },
  group: { num_bits: 8, strategy: 'group', group_size: 48, format: 'float-quantized' },
  block: { num_bits: 8, strategy: 'block', block_structure: [16, 40], format: 'float-quantized' },
  mxfp8: { num_bits: 8, strategy: 'group', group_size: 32, scale_dtype: 'torch.uint8', format: 'mxfp8-quantized' },
  mxfp4: { num_bits: 4, strategy: 'group', group_size: 32, scale_dtype: 'torch.uint8', format: 'mxfp4-pack-quantized' },
  nvfp4: { num_bits: 4, strategy: 'tensor_group', group_size: 16, scale_dtype: 'torch.float8_e4m3fn', format: 'nvfp4-pack-quantized' },
};

function layerOf(name: string, observer: string, dtype: DType): LayerPlan {
  const { format, ...changes } = schemes[name]!;
  return layerPlan({
    name: 'linear',
    rows: 24,
    columns: 96,
    dtype: dtype as LayerPlan['dtype'],
    scheme: {
      weights: weightArgs({ type: 'float', observer, ...changes }),
      input_activations: null,
      output_activations: null,
      format: format as 'float-quantized',
    },
  });
}

for (const [dtypeName, dtype] of [
  ['float32', 'F32'],
  ['bfloat16', 'BF16'],
  ['float16', 'F16'],
] as const)
  for (const name of Object.keys(schemes))
    for (const observer of ['memoryless_minmax', 'memoryless_mse'])
      test(`${dtypeName} ${name} ${observer}: the bytes of compressed-tensors, and read back as they were meant`, async () => {
        const golden = await readTensors(file);
        const { tensors } = await readSafetensorsHeader(nodeFiles, file, file);
        const prefix = `${dtypeName}/${name}/${observer}/`;
        // The file read as a checkpoint: `linear.weight_packed` for `bfloat16/nvfp4/…/weight_packed`.
        const placed = tensors
          .filter((tensor) => tensor.name.startsWith(prefix))
          .map((tensor): PlacedTensor => ({ tensor: { ...tensor, name: `linear.${tensor.name.slice(prefix.length)}` }, file }));
        const layer = layerOf(name, observer, dtype);
        const format = compressedTensorsFormats[layer.scheme!.format]!;
        await withDevice(async (device) => {
          using weight = device.fromBytes(dtype, [24, 96], golden.get(`${dtypeName}/weight`)!.bytes);
          const chosen = await rtn.quantize({
            layer,
            plan: { name: 'rtn', modifier: 'QuantizationModifier', recipe_path: [] },
            weight,
            fused: [],
            hessian: null,
          });
          using q = chosen.q;
          using scale = chosen.scale;
          using zeroPoint = chosen.zeroPoint;
          using first = chosen.levels?.scale;
          using second = chosen.levels?.global;
          const levels = first && second ? { scale: first, global: second } : null;
          const quantized = { q, scale, zeroPoint, levels, gIdx: null, input: null };
          const stored = format.store(layer, quantized);
          try {
            assert.deepEqual(stored.map((part) => part.name).sort(), placed.map(({ tensor }) => tensor.name).sort());
            for (const part of stored) {
              const wanted = golden.get(prefix + part.name.slice('linear.'.length))!;
              assert.deepEqual([part.tensor.dtype, [...part.tensor.shape]], [wanted.dtype, [...wanted.shape]], part.name);
              assert.deepEqual([...(await part.tensor.read())], [...wanted.bytes], part.name);
            }
          } finally {
            for (const { tensor } of stored) tensor.dispose();
          }
          using read = await format.load(openTensorReader(device, placed), 'linear', layer.scheme!);
          using meant = weightAsRead(quantized, layerArgs(layer));
          const values = async (tensor: typeof read): Promise<number[]> => {
            const bytes = await tensor.read();
            const isHalf = tensor.dtype !== 'F32';
            return [
              ...(isHalf
                ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
                : new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)),
            ];
          };
          if (read.dtype === meant.dtype) assert.deepEqual(await values(read), await values(meant));
          else assert.ok(name.startsWith('mx') && read.dtype === 'BF16', `${name} is read as ${read.dtype}`);
        });
      });
