// What an analysis that continues still has to measure.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { analysisDir, type AnalysisInput } from './analysis-input.js';
import type { AnalysisJournal } from './analysis-journal.js';
import { isThere } from './kept-weights.js';

export class MissingCandidates {
  /** Asked for, and not known to be out of reach. */
  mayHaveFisher: boolean;

  constructor(
    private readonly input: AnalysisInput,
    private readonly journal: AnalysisJournal,
  ) {
    this.mayHaveFisher = input.fisher;
  }

  async someOf(layers: readonly LayerPlan[], endToEnd: boolean): Promise<LayerPlan[]> {
    const missing: LayerPlan[] = [];
    for (const layer of layers) if (await this.isMissing(layer, endToEnd)) missing.push(layer);
    return missing;
  }

  /** A weight that is to be kept, and whose file is gone, is quantized again. */
  async isKnown(name: string, num_bits: number, endToEnd: boolean): Promise<boolean> {
    const known = this.journal.candidate(name, num_bits, endToEnd);
    if (known === null || (this.mayHaveFisher && known.fisher_loss === undefined)) return false;
    const kept = this.journal.kept(name, num_bits);
    return !this.input.keepWeights || (kept !== null && (await isThere(analysisDir(this.input.plan), kept)));
  }

  private async isMissing({ name }: LayerPlan, endToEnd: boolean): Promise<boolean> {
    if (!this.journal.layers.has(name)) return true;
    for (const bit of this.input.bits) if (!(await this.isKnown(name, bit, endToEnd))) return true;
    return false;
  }
}
