// What a canary saw behind so many blocks: it rises by the same share from block to block.
import type { CanaryResult } from '../../schemas/src/generated/report.js';

export const canary = (n_blocks: number, max_mean_kld = 0.5): CanaryResult => ({
  max_mean_kld,
  every: 1,
  dataset: '/data/validation.jsonl',
  figures: Array.from({ length: n_blocks }, (_, block) => ({
    block,
    mean_kld: 0.009 * 3 ** block,
    kld_stderr: 0.02,
    same_top: 0.95 - 0.05 * block,
    tokens: 1020,
  })),
});
