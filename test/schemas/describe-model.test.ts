// What is told of a model folder that cannot be read: what is wrong, why, and what to do.
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { locateModel } from '../../schemas/src/model/hub-cache.js';
import { nodeFiles, type ModelFiles } from '../../schemas/src/model/model-files.js';
import { tinyLlama, writeModel } from '../support/model-fixture.js';
import { inFolder } from '../support/recipe-fixture.js';

async function told(dir: string, files: ModelFiles = nodeFiles): Promise<string> {
  const { model, problems } = await describeModel(dir, files);
  assert.equal(model, null);
  return problems.map(({ code, message }) => `${code}: ${message}`).join('\n');
}

/** A file system that refuses one path; a test may run as root, who is refused nothing. */
function refusing(refused: string): ModelFiles {
  const guarded =
    <T>(read: (file: string) => Promise<T>) =>
    (file: string): Promise<T> =>
      file === refused
        ? Promise.reject(Object.assign(new Error(`EACCES: permission denied, open '${file}'`), { code: 'EACCES' }))
        : read(file);
  return {
    ...nodeFiles,
    list: (dir) => (dir === refused ? Promise.resolve(null) : nodeFiles.list(dir)),
    readText: guarded(nodeFiles.readText),
    readRange: (file, offset, length) => guarded((name) => nodeFiles.readRange(name, offset, length))(file),
  };
}

test('a path that is nothing, a file, or a folder that this account may not read', () =>
  inFolder({}, async (dir) => {
    assert.match(await told(path.join(dir, 'none')), /^model-not-found: There is no model folder .*none\. Give the path/);
    const file = path.join(dir, 'model', 'model.safetensors');
    assert.equal(
      await told(file),
      `model-unreadable: ${file} is a file, and a model is a folder with config.json and safetensors files. Name the folder, such as ${path.join(dir, 'model')}.`,
    );
    const model = path.join(dir, 'model');
    assert.equal(
      await told(model, refusing(model)),
      `model-unreadable: The folder ${model} cannot be read: this account may not read it. Change its permissions, so that it can be listed and entered, or name a copy.`,
    );
    assert.deepEqual(await locateModel('model/config.json', dir, nodeFiles, {}, 'recipe'), { dir: path.join(model, 'config.json') });
  }));

test('config.json, index and shards that cannot be read or are no JSON', () =>
  inFolder({}, async (dir) => {
    const model = path.join(dir, 'model');
    const config = path.join(model, 'config.json');
    assert.equal(
      await told(model, refusing(config)),
      `model-unreadable: ${config} cannot be read: this account may not read it. Change its permissions, or name a copy of the model.`,
    );
    assert.match(
      await told(model, refusing(path.join(model, 'model.safetensors'))),
      /model\.safetensors cannot be read: this account may not read it\. Change/,
    );
    rmSync(config);
    symlinkSync(path.join(dir, 'gone'), config);
    assert.match(await told(model), /config\.json cannot be read: it is a link to nothing, or was removed just now\. Download/);
    rmSync(config);
    mkdirSync(config);
    assert.match(await told(model), /config\.json is a folder, and a file belongs there\. Download/);
    rmSync(config, { recursive: true });
    writeModel(model, tinyLlama());
    const index = path.join(model, 'model.safetensors.index.json');
    writeFileSync(index, '{');
    assert.match(await told(model), /index\.json is not JSON: .+\. Repair it or download it again\.$/);
    writeFileSync(index, 'null');
    assert.match(await told(model), /index\.json has no weight_map\. Download it again\.$/);
    assert.match(await told(model, refusing(index)), /index\.json cannot be read: this account may not read it/);
  }));

test('shards that are not all there: each that is missing is named, with an index and without', () =>
  inFolder({}, async (dir) => {
    const model = path.join(dir, 'model');
    const shard = (at: number): string => `model-0000${at}-of-00003.safetensors`;
    renameSync(path.join(model, 'model.safetensors'), path.join(model, shard(2)));
    const missing = (what: string): string =>
      `model-file-missing: ${what} names 3 shards, and 2 of them are not there: ${shard(1)}, ${shard(3)}. Download the model completely.`;
    assert.equal(await told(model), missing(shard(2)));
    const index = path.join(model, 'model.safetensors.index.json');
    writeFileSync(index, JSON.stringify({ weight_map: { a: shard(1), b: shard(2), c: shard(3) } }));
    assert.equal(await told(model), missing('model.safetensors.index.json'));
    writeFileSync(index, JSON.stringify({ weight_map: { a: shard(1), b: shard(2) } }));
    assert.match(await told(model), /names 2 shards, and 1 of them is not there: model-00001-of-00003\.safetensors\./);
  }));

test('a file of another format is not led to its folder, which is no model either', () =>
  inFolder({}, async (dir) => {
    const file = path.join(dir, 'net.onnx');
    writeFileSync(file, '');
    assert.match(
      await told(file),
      /net\.onnx is a file, and a model is a folder with config\.json and safetensors files\. Name such a folder\.$/,
    );
  }));

test('weights without a config.json are told to have none, and one without model_type to lack that', () =>
  inFolder({ model: tinyLlama({ config: { model_type: undefined } }) }, async (dir) => {
    const model = path.join(dir, 'model');
    assert.equal((await describeModel(model, nodeFiles)).architectureReason, 'its config.json has no model_type');
    rmSync(path.join(model, 'config.json'));
    assert.equal(
      (await describeModel(model, nodeFiles)).architectureReason,
      `${model} has no config.json, which says what the architecture is`,
    );
  }));

test('a model quantized by what is not read: what to name in its place, and how that of DeepSeek is made', () =>
  inFolder({ model: tinyLlama() }, async (dir) => {
    const model = path.join(dir, 'model');
    const quantizedBy = (quant_method: string): Promise<string> => {
      writeFileSync(path.join(model, 'config.json'), JSON.stringify({ model_type: 'llama', quantization_config: { quant_method } }));
      return told(model);
    };
    const read = 'and of quantized models only those of compressed-tensors, bitsandbytes in nf4 and vptq are read';
    assert.ok((await quantizedBy('gptq')).endsWith(`: the model is quantized with "gptq", ${read}. Name the model that it was made from.`));
    assert.ok(
      (await quantizedBy('fp8')).endsWith(
        `"fp8", ${read}. Convert it to BF16 (for DeepSeek: inference/fp8_cast_bf16.py of DeepSeek-V3), remove quantization_config from its config.json, and name that folder.`,
      ),
    );
  }));
