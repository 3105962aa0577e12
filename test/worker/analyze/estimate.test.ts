// The estimate of an analysis held against what it takes: with that much it gives nothing up, and what is short is told, or refused, before it begins.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { analysisNeed, needOf } from '../../../schemas/src/analysis-measures.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { analyze } from '../../../worker/src/analyze/analyze.js';
import { searchBits } from '../../../worker/src/analyze/search-bits.js';
import { failureCode } from '../../support/failures.js';
import { withDevice } from '../../support/native-device.js';
import { planOverRows, workspaceBytes } from '../../support/short-memory.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

const modifiers = 'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}';
const planIn = (dir: string): Promise<QuantizationPlan> =>
  planOverRows(dir, {
    rows: 2,
    length: 150,
    modifiers,
    sizes: { hidden: 128, mlp: 256 },
    evaluate: { max_seq_length: 150, num_samples: 1 },
  });

interface Heard {
  /** What was told before anything else was heard of. */
  first: RunProblem | null;
  all: RunProblem[];
  peak: number;
}

type Wish = { end_to_end?: boolean; fisher?: boolean; hessian_probes?: number; search?: boolean };

/** In a folder of its own; `limits` go into the plan. */
function heard(plan: QuantizationPlan, kind: 'cpu' | 'cuda', limits: Partial<QuantizationPlan>, wish: Wish): Promise<Heard> {
  return withDevice(
    async (device) => {
      device.native.resetPeakMemory();
      const all: RunProblem[] = [];
      let first: RunProblem | null | undefined;
      const watch = {
        onProgress: () => void (first ??= null),
        onProblem: (problem: RunProblem) => {
          first ??= problem;
          all.push(problem);
        },
        throwIfCancelled: () => undefined,
      };
      const { end_to_end = false, fisher = false, hessian_probes = 0, search = false } = wish;
      const given = { plan: { ...plan, ...limits }, device, kind, version: 'test', watch };
      await (search
        ? searchBits({ ...given, criterion: { metric: 'mean_kld', most: 10 }, evaluations: 2, metric: null })
        : analyze({
            ...given,
            bits: kind === 'cpu' ? [4, 8] : [4],
            endToEnd: end_to_end,
            fisher,
            hessianProbes: hessian_probes,
            keepWeights: true,
          }));
      return { first: first ?? null, all, peak: device.native.memory().peak_bytes };
    },
    1,
    kind,
  );
}

for (const [what, wish] of [
  ['the layers', {}],
  ['the whole model', { end_to_end: true }],
  ['the Fisher information', { fisher: true }],
  ['the trace of the Hessian', { hessian_probes: 1 }],
] as const)
  test(`${what}: what is estimated of a CUDA device is enough, and not much more than was taken; less is told first`, () =>
    inTemporaryFolder(async (dir) => {
      const plan = await planIn(dir);
      const need = analysisNeed(plan, { end_to_end: false, fisher: false, hessian_probes: 0, ...wish });
      assert.ok(need);
      const { peak_memory_bytes: estimated } = need.cuda;
      const enough = await heard(plan, 'cuda', { max_device_memory_bytes: estimated }, wish);
      assert.deepEqual(enough.all, []);
      const ratio = (estimated - workspaceBytes) / (enough.peak - workspaceBytes);
      // Tensors below 32 MiB are taken for twice as large, and hidden states fill what is left, as in a run.
      assert.ok(ratio >= 1 && ratio < 3, `estimated ${estimated - workspaceBytes} beside cuBLAS, measured ${enough.peak - workspaceBytes}`);
      const output = { ...plan.output, dir: `${plan.output.dir}-short` };
      const between = Math.floor((estimated + need.cuda.least_memory_bytes) / 2);
      const short = await heard(plan, 'cuda', { max_device_memory_bytes: between, output }, wish);
      assert.ok(
        short.first?.message.startsWith(`Device memory is short: ${need.cuda.peak_memory_stage} needs about `),
        short.first?.message ?? 'nothing was told first',
      );
    }));

test('on the CPU an analysis that cannot fit is refused before anything is written, and one that has to give something up says so first', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir);
    const wish = { fisher: true };
    const need = analysisNeed(plan, { end_to_end: false, hessian_probes: 0, ...wish });
    assert.ok(need);
    const { peak_memory_bytes: peak, least_memory_bytes: least, peak_memory_stage } = need;
    await assert.rejects(
      heard(plan, 'cpu', { max_memory_bytes: least - 1 }, wish),
      failureCode('memory-too-small', new RegExp(`^${need.least_memory_stage} needs .* and .* is free\\.`)),
    );
    assert.ok(!existsSync(`${plan.output.dir}.analysis`));
    const { first } = await heard(plan, 'cpu', { max_memory_bytes: peak - 1 }, wish);
    assert.match(first?.message ?? '', new RegExp(`^Memory is short: ${peak_memory_stage} needs about .*, or raise max_memory\\.$`));
    const enough = await heard(plan, 'cpu', { max_memory_bytes: peak }, wish);
    assert.deepEqual(enough.all, []);
    // The same for a search over it.
    const search = needOf(plan, ['search']);
    assert.ok(search);
    await assert.rejects(
      heard(plan, 'cpu', { max_memory_bytes: search.least_memory_bytes - 1 }, { search: true }),
      failureCode('memory-too-small', new RegExp(`^${search.least_memory_stage} needs `)),
    );
    const told = await heard(plan, 'cpu', { max_memory_bytes: search.peak_memory_bytes - 1 }, { search: true });
    assert.match(told.first?.message ?? '', new RegExp(`^Memory is short: ${search.peak_memory_stage} needs about `));
  }));
