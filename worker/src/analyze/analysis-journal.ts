// What an analysis has found so far, one line for each layer and one for each of its candidates, so that an interrupted one continues and another
// choice of bits measures only what is new.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { CandidateSensitivity, LayerSensitivity } from '../../../schemas/src/generated/sensitivity.js';
import { makeFolder, writeFailure, writeTextDurably } from '../checkpoint/durable-file.js';
import { appendToJournal, readJournal, rewriteJournal } from '../checkpoint/journal-file.js';
import type { ProbeProducts } from './hessian-trace.js';
import type { KeptWeight } from './kept-weights.js';

/** Sums of the squared inputs of every column. */
export interface MeasuredImportance {
  sums: number[];
  rows: number;
  tokens: number;
}

export type LayerFacts = Omit<LayerSensitivity, 'candidates' | 'activations'> & {
  activations: { kurtosis: number | null; max_over_median: number | null; absmax: number[]; importance: MeasuredImportance } | null;
};

/** The text that end to end is measured on, and the model on it. */
export interface EndToEndFacts {
  dataset: string;
  tokens: number;
  perplexity: number;
}

/** What the whole model loses with a choice of bits for every layer, measured on the text of `key`. */
export interface MeasuredMix {
  /** Hash of the choice and of the text. */
  key: string;
  mean_kld: number;
  perplexity: number;
  perplexity_change: number;
}

type Line =
  | { layer: LayerFacts }
  | { name: string; candidate: CandidateSensitivity }
  | { endToEnd: EndToEndFacts }
  | { kept: KeptWeight }
  | { probe: number; products: ProbeProducts }
  | { mix: MeasuredMix };

export class AnalysisJournal {
  readonly layers = new Map<string, LayerFacts>();
  private readonly candidates = new Map<string, CandidateSensitivity>();
  private readonly keptWeights = new Map<string, KeptWeight>();
  readonly mixes = new Map<string, MeasuredMix>();
  /** Of the trace of the Hessian. */
  readonly probes = new Map<number, ProbeProducts>();
  endToEnd: EndToEndFacts | null = null;
  /** Candidates that were there when it was opened. */
  resumed = 0;

  private constructor(private readonly dir: string) {}

  /** Continues the folder when it holds the same work (the plan's hash and what end to end is measured on), else begins it anew. */
  static async open(dir: string, work: string): Promise<AnalysisJournal> {
    const journal = new AnalysisJournal(dir);
    await makeFolder(dir).catch((error: unknown) => {
      throw writeFailure(dir, error, 'a folder');
    });
    const identity = path.join(dir, 'analysis.json');
    const text = await readOrNull(identity);
    if (text === identityOf(work)) await journal.read();
    await rewriteJournal(journal.file, journal.lines());
    await writeTextDurably(identity, identityOf(work));
    journal.resumed = journal.candidates.size;
    return journal;
  }

  /** The folder as it is; null where it holds no analysis of this work. */
  static async find(dir: string, work: string): Promise<AnalysisJournal | null> {
    if ((await readOrNull(path.join(dir, 'analysis.json'))) !== identityOf(work)) return null;
    const journal = new AnalysisJournal(dir);
    await journal.read();
    return journal;
  }

  /** With `endToEnd` only a candidate that has those figures counts. */
  candidate(name: string, num_bits: number, endToEnd: boolean): CandidateSensitivity | null {
    const found = this.candidates.get(`${name} ${num_bits}`) ?? null;
    return found !== null && endToEnd && found.mean_kld === null ? null : found;
  }

  async addLayer(layer: LayerFacts): Promise<void> {
    this.layers.set(layer.name, layer);
    await this.append({ layer });
  }

  async setEndToEnd(endToEnd: EndToEndFacts): Promise<void> {
    if (this.endToEnd !== null) return;
    this.endToEnd = endToEnd;
    await this.append({ endToEnd });
  }

  async addCandidate(name: string, candidate: CandidateSensitivity): Promise<void> {
    this.candidates.set(`${name} ${candidate.num_bits}`, candidate);
    await this.append({ name, candidate });
  }

  kept(name: string, num_bits: number): KeptWeight | null {
    return this.keptWeights.get(`${name} ${num_bits}`) ?? null;
  }

  async addKept(kept: KeptWeight): Promise<void> {
    this.keptWeights.set(`${kept.name} ${kept.num_bits}`, kept);
    await this.append({ kept });
  }

  async addMix(mix: MeasuredMix): Promise<void> {
    this.mixes.set(mix.key, mix);
    await this.append({ mix });
  }

  async addProbe(probe: number, products: ProbeProducts): Promise<void> {
    this.probes.set(probe, products);
    await this.append({ probe, products });
  }

  private get file(): string {
    return path.join(this.dir, 'journal.jsonl');
  }

  private async read(): Promise<void> {
    for (const line of await readJournal<Line>(this.file)) {
      if ('layer' in line) this.layers.set(line.layer.name, line.layer);
      else if ('endToEnd' in line) this.endToEnd = line.endToEnd;
      else if ('kept' in line) this.keptWeights.set(`${line.kept.name} ${line.kept.num_bits}`, line.kept);
      else if ('probe' in line) this.probes.set(line.probe, line.products);
      else if ('mix' in line) this.mixes.set(line.mix.key, line.mix);
      else this.candidates.set(`${line.name} ${line.candidate.num_bits}`, line.candidate);
    }
  }

  private lines(): Line[] {
    const layers = [...this.layers.values()].map((layer): Line => ({ layer }));
    const candidates = [...this.candidates].map(([key, candidate]): Line => ({ name: key.slice(0, key.lastIndexOf(' ')), candidate }));
    const endToEnd: Line[] = this.endToEnd === null ? [] : [{ endToEnd: this.endToEnd }];
    const kept = [...this.keptWeights.values()].map((one): Line => ({ kept: one }));
    const mixes = [...this.mixes.values()].map((mix): Line => ({ mix }));
    const probes = [...this.probes].map(([probe, products]): Line => ({ probe, products }));
    return [...endToEnd, ...probes, ...layers, ...candidates, ...kept, ...mixes];
  }

  private append(line: Line): Promise<void> {
    return appendToJournal(this.file, line);
  }
}

const identityOf = (work: string): string => JSON.stringify({ analysis_version: 2, work });

async function readOrNull(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}
