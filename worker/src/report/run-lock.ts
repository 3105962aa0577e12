// lock.json: what decides the bytes of a run (files, tokens, plan, versions, device) and what they became, so that the run can be done again and compared.
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { RunLock } from '../../../schemas/src/generated/lock.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { TokenBatches } from '../calibration/token-batches.js';
import { writeTextDurably } from '../checkpoint/durable-file.js';

const lockFile = (runDir: string): string => path.join(runDir, 'lock.json');

/** Every file that decides the bytes: weights and side files of the model, the calibration text, and importance from elsewhere. Each once. */
export function inputFiles({ model, calibration, layers }: QuantizationPlan): string[] {
  const names = [...model.files.map(({ name }) => name), ...model.side_files];
  const imatrices = layers.flatMap(({ quantizer }) => (quantizer?.name === 'gguf' && quantizer.imatrix ? [quantizer.imatrix.file] : []));
  const files = [...names.map((name) => path.join(model.dir, name)), ...(calibration === null ? [] : [calibration.dataset]), ...imatrices];
  return [...new Set(files)];
}

/** The same whatever the batches: documents in their order, each with its length before it. */
export function hashOfTokens({ batches, nDocuments, nTokens }: TokenBatches): NonNullable<RunLock['tokens']> {
  const hash = createHash('sha256');
  for (const { tokens, offsets } of batches)
    for (const [at, end] of [...offsets].slice(1).entries()) {
      const document = tokens.subarray(offsets[at] ?? 0, end);
      hash.update(Int32Array.of(document.length)).update(document);
    }
  return { documents: nDocuments, tokens: nTokens, sha256: hash.digest('hex') };
}

export const writeLock = async (runDir: string, lock: RunLock): Promise<void> =>
  void (await writeTextDurably(lockFile(runDir), `${JSON.stringify(lock, null, 1)}\n`));
