// Writes a Llama folder of two blocks: zero weights for what reads headers and config.json only (and to make every token equally likely), random ones for runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { tinyLlama as llamaOf, writeModel } from './model-fixture.js';

export const tinyLlama = { hidden: 64, mlp: 176, blocks: 2, vocabulary: 96 } as const;

/** A new folder under the system's temporary folder, gone when the test process ends. */
export function temporaryFolder(name: string): string {
  const dir = mkdtempSync(path.join(tmpdir(), `bitwright-${name}-`));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function writeTinyLlama(dir: string, weights: 'zero' | 'random' = 'zero', sizes: { hidden?: number; mlp?: number } = {}): void {
  const { hidden, mlp, blocks, vocabulary } = { ...tinyLlama, ...sizes };
  const config = {
    num_attention_heads: 4,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
  };
  const model = llamaOf({ hidden, intermediate: mlp, keyValues: hidden, blocks, vocabulary, config });
  writeModel(dir, model, weights === 'zero' ? undefined : randomValues(1));
}

/** Uniform in [-0.1, 0.1), the same each time. */
function randomValues(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) / 5;
  };
}
