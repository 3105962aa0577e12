// Token ids equal those of the Python tokenizers package (test/golden/make_goldens.py), and BOS is the one that transformers would put.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openTokenizer } from '../../../worker/src/calibration/tokenizer.js';
import { failureCode } from '../../support/failures.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

const goldens = path.join(repositoryRoot, 'test', 'golden');
const { texts, ids } = JSON.parse(readFileSync(path.join(goldens, 'token-ids.json'), 'utf8')) as {
  texts: string[];
  ids: Record<string, number[][]>;
};

const folder = temporaryFolder('tokenizer');
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** A folder with one of the golden tokenizers and the given tokenizer_config.json. */
function tokenizerFolder(name: string, config: object | null): string {
  const dir = path.join(folder, `${name}-${Math.random()}`);
  mkdirSync(dir);
  copyFileSync(path.join(goldens, 'tokenizers', `${name}.json`), path.join(dir, 'tokenizer.json'));
  if (config !== null) writeFileSync(path.join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  return dir;
}

async function checkIds(name: string, dir: string): Promise<void> {
  const tokenizer = await openTokenizer(dir);
  texts.forEach((text, index) => assert.deepEqual(tokenizer.encode(text), ids[name]?.[index], `${name}: ${JSON.stringify(text)}`));
}

for (const name of ['llama2', 'llama3', 'qwen2'])
  test(`ids of a tokenizer like that of ${name}`, () => checkIds(name, tokenizerFolder(name, null)));

test('ids of the example model', () =>
  checkIds('stories-and-sums-1m', path.join(repositoryRoot, 'examples', 'models', 'stories-and-sums-1m')));

test('ids of stories260K', { skip: skipWithoutShared }, () => checkIds('stories260K', sharedPath('data', 'models', 'stories260K')));

test('BOS comes from the tokenizer', async () => {
  const bosOf = async (name: string, config: object | null): Promise<number | null | undefined> =>
    (await openTokenizer(tokenizerFolder(name, config))).bos;
  assert.equal(await bosOf('llama2', { add_bos_token: true, bos_token: '<s>' }), 1, 'Llama 2 and Mistral');
  assert.equal(await bosOf('llama2', { add_bos_token: true, bos_token: { content: '<s>' } }), 1, 'the older form of a token');
  assert.equal(
    await bosOf('qwen2', { add_bos_token: true, bos_token: '<|end|>' }),
    2,
    'DeepSeek-R1-Distill-Qwen: not the one of config.json',
  );
  assert.equal(await bosOf('qwen2', { add_bos_token: false, bos_token: null }), null, 'Qwen 2.5 and 3');
  assert.equal(await bosOf('qwen2', { bos_token: null }), null, 'Qwen 2');
  assert.equal(await bosOf('llama3', { bos_token: '<s>' }), 0, 'Llama 3: by its template');
  assert.equal(await bosOf('llama3', null), 0);
  assert.equal(await bosOf('llama3', { add_bos_token: false }), null);
  assert.equal(await bosOf('qwen2', null), undefined, 'nothing is said: config.json decides');
});

test('a tokenizer that cannot be used is refused by name', async () => {
  const dir = temporaryFolder('no-tokenizer');
  try {
    await assert.rejects(openTokenizer(dir), failureCode('file-unreadable', /tokenizer\.json/));
    writeFileSync(path.join(dir, 'tokenizer.json'), '{"model": {"type": "BPE"');
    await assert.rejects(openTokenizer(dir), failureCode('tokenizer-invalid', /tokenizer\.json/));
    writeFileSync(path.join(dir, 'tokenizer.json'), '[]');
    await assert.rejects(openTokenizer(dir), failureCode('tokenizer-invalid', /tokenizer\.json/));
    writeFileSync(path.join(dir, 'tokenizer.json'), '{"version": "1.0", "model": {"type": "Telepathy"}}');
    await assert.rejects(openTokenizer(dir), failureCode('tokenizer-invalid', /tokenizer\.json/));
  } finally {
    rmSync(dir, { recursive: true });
  }
  const unknown = tokenizerFolder('llama2', { add_bos_token: true, bos_token: '<begin>' });
  await assert.rejects(openTokenizer(unknown), failureCode('tokenizer-invalid', /<begin>/));
});
