// What an analysis has found so far, one line for each layer and one for each of its candidates, so that an interrupted one continues and another
// choice of bits measures only what is new.
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { CandidateSensitivity, LayerSensitivity } from '../../../schemas/src/generated/sensitivity.js';
import { makeFolder, syncDirectory, writeAll, writeFailure, writeTextDurably } from '../checkpoint/durable-file.js';

export type LayerFacts = Omit<LayerSensitivity, 'candidates' | 'activations'> & {
  activations: { kurtosis: number | null; max_over_median: number | null; absmax: number[] } | null;
};

/** The text that end to end is measured on, and the model on it. */
export interface EndToEndFacts {
  dataset: string;
  tokens: number;
  perplexity: number;
}

type Line = { layer: LayerFacts } | { name: string; candidate: CandidateSensitivity } | { endToEnd: EndToEndFacts };

export class AnalysisJournal {
  readonly layers = new Map<string, LayerFacts>();
  private readonly candidates = new Map<string, CandidateSensitivity>();
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
    if (text === JSON.stringify({ analysis_version: 1, work })) journal.read((await readOrNull(journal.file)) ?? '');
    await writeTextDurably(journal.file, journal.lines());
    await writeTextDurably(identity, JSON.stringify({ analysis_version: 1, work }));
    journal.resumed = journal.candidates.size;
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

  private get file(): string {
    return path.join(this.dir, 'journal.jsonl');
  }

  /** A line that a kill cut short ends the journal. */
  private read(text: string): void {
    for (const content of text.split('\n').slice(0, -1)) {
      let line: Line;
      try {
        line = JSON.parse(content) as Line;
      } catch (error) {
        if (error instanceof SyntaxError) return;
        throw error;
      }
      if ('layer' in line) this.layers.set(line.layer.name, line.layer);
      else if ('endToEnd' in line) this.endToEnd = line.endToEnd;
      else this.candidates.set(`${line.name} ${line.candidate.num_bits}`, line.candidate);
    }
  }

  private lines(): string {
    const layers = [...this.layers.values()].map((layer): Line => ({ layer }));
    const candidates = [...this.candidates].map(([key, candidate]): Line => ({ name: key.slice(0, key.lastIndexOf(' ')), candidate }));
    const endToEnd: Line[] = this.endToEnd === null ? [] : [{ endToEnd: this.endToEnd }];
    return [...endToEnd, ...layers, ...candidates].map((line) => `${JSON.stringify(line)}\n`).join('');
  }

  private async append(line: Line): Promise<void> {
    try {
      const handle = await open(this.file, 'a');
      try {
        await writeAll(handle, new TextEncoder().encode(`${JSON.stringify(line)}\n`));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await syncDirectory(this.dir);
    } catch (error) {
      throw writeFailure(this.file, error, 'one more line');
    }
  }
}

async function readOrNull(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}
