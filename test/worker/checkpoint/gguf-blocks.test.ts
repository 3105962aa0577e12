// Blocks of GGUF files against what the real gguf package reads and writes (test/golden/gguf-blocks.safetensors, written by test/parity/gguf-goldens.py).
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { openTensorReader, type TensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { ggufDecode, ggufEncode } from '../../../worker/src/tensor/operations/formats.js';
import { compare } from '../../../worker/src/tensor/operations/metrics.js';
import type { Tensor } from '../../../worker/src/tensor/tensor.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot } from '../../support/shared.js';

const file = path.join(repositoryRoot, 'test/golden/gguf-blocks.safetensors');

const withGolden = (work: (golden: TensorReader) => Promise<void>): Promise<void> =>
  withDevice(async (device) => {
    const { tensors } = await readSafetensorsHeader(nodeFiles, file, 'gguf-blocks.safetensors');
    await work(
      openTensorReader(
        device,
        tensors.map((tensor) => ({ tensor, file })),
      ),
    );
  });

for (const type of ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'] as const)
  test(`${type}: blocks of any bytes are read to the bit as gguf reads them`, () =>
    withGolden(async (golden) => {
      using blocks = golden.load(`${type}.blocks`);
      using values = golden.load(`${type}.values`);
      using read = ggufDecode(blocks, type);
      assert.deepEqual(read.shape, values.shape);
      const [own, theirs] = [await read.readFloats(), await values.readFloats()];
      // -0 and 0 are one number: not every reader takes the sign along.
      own.forEach((value, i) => assert.ok(value === theirs[i], `value ${i}: ${value} for ${theirs[i]}`));
    }));

test('Q8_0: the bytes are those that gguf writes', () =>
  withGolden(async (golden) => {
    using weights = golden.load('weights');
    using written = golden.load('Q8_0.written');
    using own = ggufEncode(weights, null, 'Q8_0');
    assert.deepEqual(await own.read(), await written.read());
  }));

for (const type of ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1'] as const)
  test(`${type}: less error than what gguf writes`, () =>
    withGolden(async (golden) => {
      using weights = golden.load('weights');
      using written = golden.load(`${type}.written`);
      using own = ggufEncode(weights, null, type);
      const error = async (blocks: Tensor): Promise<number> => {
        using read = ggufDecode(blocks, type);
        using sums = compare(weights, read);
        return (await sums.readDoubles())[2] ?? NaN;
      };
      const [found, theirs] = [await error(own), await error(written)];
      assert.ok(found < theirs, `${found} against ${theirs}`);
    }));
