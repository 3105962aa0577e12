// Every byte of the GGUF files that test/parity/gguf-parity.test.ts has loaded in the real llama.cpp: keys, tensors, types, blocks. The snapshots are what was loaded there.
// Importance is left out: its sums are rounded as the processor at hand does.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readGgufHeader } from '../../../schemas/src/model/gguf-header.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { ggufModelNames, writeGgufModel } from '../../support/gguf-models.js';
import { matchesSnapshot } from '../../support/snapshot.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function fileText(file: string): Promise<string[]> {
  const { metadata, tensors, problems } = await readGgufHeader(nodeFiles, file, 'it');
  assert.deepEqual(problems, []);
  const bytes = readFileSync(file);
  return [
    ...metadata.map(({ key, type, value }) => `${key} ${type} ${JSON.stringify(value)}`),
    ...tensors.map(({ name, type, shape, offset, bytes: length }) => {
      assert.ok(length !== null);
      return `${name} ${type} [${shape.join(', ')}] ${hashOf(bytes.subarray(offset, offset + length)).slice(0, 16)}`;
    }),
    // Of lists the lines above have the beginning alone.
    `all ${hashOf(bytes)}`,
  ];
}

for (const name of ggufModelNames)
  test(`${name}: the file is, byte for byte, one that llama.cpp has loaded`, () =>
    inTemporaryFolder(async (dir) => {
      const model = writeGgufModel(path.join(dir, 'model'), name);
      const texts: string[] = [];
      for (const type of ['Q8_0', 'Q4_K_M']) {
        const plan = await resolvePlan({
          recipe: `q_stage:\n  q_modifiers:\n    GGUFModifier: {type: ${type}}\n`,
          model,
          output: path.join(dir, type),
        });
        await runToCompletion(plan);
        texts.push(`# ${type}`, ...(await fileText(path.join(plan.output.dir, `model-${type}.gguf`))));
      }
      matchesSnapshot(`golden/gguf-files/${name}.txt`, texts.join('\n'));
    }));
