// What an analysis learns from gradients before it looks at layers: the Fisher information and the trace of the Hessian, as far as they are asked for and
// not known from before.
import path from 'node:path';
import { fisherCost } from '../../../schemas/src/analysis-measures.js';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { ActivationCache, type ActivationBudget } from '../calibration/activation-cache.js';
import { batchDocuments, documentsIn, type TokenBatches } from '../calibration/token-batches.js';
import { checkDisk } from '../jobs/memory-estimate.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import type { DecoderModel } from '../models/model.js';
import { analysisDir, type AnalysisInput } from './analysis-input.js';
import type { AnalysisJournal } from './analysis-journal.js';
import { Fisher } from './fisher.js';
import type { GradientPassInput } from './gradient-pass.js';
import { HessianProbes } from './hessian-trace.js';
import type { MissingCandidates } from './missing-candidates.js';

/**
 * Tokens of a batch, about: what a tape writes down takes about three times what a pass takes that forgets. It is the same whatever memory there is, as
 * rows of other batches come out of a product with other last bits, which the differences of the Hessian show.
 */
const recordedBatch = 1024;

type Given = Pick<GradientPassInput, 'tokens' | 'decoder' | 'dir' | 'budget'>;

export class GradientMeasures {
  /** null: not asked for, known from before, or without rows. */
  fisher: Fisher | null = null;
  /** Why the trace of the Hessian cannot be had, where it was asked for. */
  noHessian: string | null = null;

  constructor(
    private readonly input: AnalysisInput,
    private readonly layers: readonly LayerPlan[],
    private readonly journal: AnalysisJournal,
    private readonly missing: MissingCandidates,
  ) {}

  get hasFisher(): boolean {
    return this.fisher !== null && this.fisher.reason === null;
  }

  /** `dir`: of what stands as long as the analysis works. */
  async measure(
    dir: string,
    tokens: TokenBatches,
    decoder: DecoderModel,
    { device, host }: ActivationBudget,
    governor: MemoryGovernor,
  ): Promise<void> {
    const { device: on } = this.input;
    using own = batchDocuments(tokens.batches.flatMap(documentsIn), [on], { batchTokens: recordedBatch });
    // What stands between blocks is the pass's own; of these rows the governor has the batches.
    using cache = new ActivationCache(on, dir, { device: 0, host: 0 });
    const part = { model: decoder, device: on, cache, original: null, batches: own.batches, onBatch: () => undefined };
    using _ = governor.hold({ tokens: own, rows: { parts: [part] } });
    const budget = { device, host };
    const given = (name: string): Given => ({ tokens: own, decoder, dir: path.join(dir, name), budget });
    const survive = (stage: string, attempt: () => Promise<void>): Promise<void> =>
      governor.survive({ stage, tokens: own, isRecorded: true, ownBudget: budget }, attempt);
    if (this.missing.mayHaveFisher && (await this.missing.someOf(this.layers, false)).length > 0)
      await survive('the Fisher information', () => this.measureFisher(given('fisher')));
    if (this.missingProbes.length > 0) await survive('the trace of the Hessian', () => this.measureHessian(given('hessian')));
  }

  /** A probe that is finished is never measured again. */
  private get missingProbes(): number[] {
    const { hessianProbes = 0 } = this.input;
    return Array.from({ length: hessianProbes }, (_, probe) => probe).filter((probe) => !this.journal.probes.has(probe));
  }

  private async measureFisher(given: Given): Promise<void> {
    const { gradient_bytes } = fisherCost(this.input.plan, given.tokens.nTokens);
    const pass = await this.gradientPass('the Fisher information', gradient_bytes, given);
    this.fisher = await Fisher.measure(pass);
    this.missing.mayHaveFisher = this.hasFisher;
  }

  private async measureHessian(given: Given): Promise<void> {
    const pass = await this.gradientPass('the trace of the Hessian', 0, given);
    let told = '';
    const hessian = new HessianProbes({ ...pass, onBatch: (message) => pass.onBatch(`${told}${message}`) });
    for (const probe of this.missingProbes) {
      told = `probe ${probe + 1} of ${this.input.hessianProbes}, `;
      const products = await hessian.measure(probe);
      if (typeof products === 'string') return void (this.noHessian = products);
      await this.journal.addProbe(probe, products);
    }
  }

  private async gradientPass(measure: string, fileBytes: number, given: Given): Promise<GradientPassInput> {
    const { plan, device, watch } = this.input;
    const { hidden_bytes } = fisherCost(plan, given.tokens.nTokens);
    const onDisk = fileBytes + Math.max(0, hidden_bytes - given.budget.device - given.budget.host);
    await checkDisk(onDisk, analysisDir(plan), `analysis with ${measure}`);
    const onBatch = (message: string): void => {
      watch.throwIfCancelled();
      watch.onProgress(0, message);
    };
    return { model: plan.model, layers: this.layers, device, onBatch, ...given };
  }
}
