// Rows of a dataset file, in file order: .jsonl (text, messages or input_ids), .txt (one row per line that is not blank), .csv (with a header).
// Files are UTF-8; what cannot be read as the plan says is told with its line, never passed over.
import { createReadStream } from 'node:fs';
import path from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import {
  csvOptions,
  datasetKind,
  decodeLine,
  parseJsonLine,
  rowOfObject,
  rowOfRecord,
  textColumnOf,
  type DatasetRow,
  type Line,
  type RowFault,
} from '../../../schemas/src/dataset/dataset-row.js';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';

export async function* readDatasetRows(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  const kind = datasetKind(file);
  try {
    if (kind === 'jsonl') yield* readJsonLines(file, textColumn);
    else if (kind === 'txt') yield* readTextLines(file);
    else if (kind === 'csv') yield* readCsv(file, textColumn);
    else
      throw runFailure.datasetInvalid(
        file,
        null,
        `its ending is ${path.extname(file).toLowerCase() || 'missing'}, and datasets are .jsonl, .txt or .csv`,
      );
  } catch (error) {
    // What the file system says: no such file, no permission, a folder.
    if (!(error instanceof RunFailureError) && error instanceof Error && 'syscall' in error)
      throw runFailure.fileUnreadable(file, error.message);
    throw error;
  }
}

/** The value, or the failure of the run that it has none. */
function sound<T extends object>(found: T | RowFault, file: string, line: number): T {
  if ('detail' in found) throw runFailure.datasetInvalid(file, line, found.detail);
  return found;
}

/** Lines end at \n or \r\n only: a text may hold the other separators of Unicode. */
async function* readLines(file: string): AsyncGenerator<Line> {
  let line = 0;
  let begun: Buffer[] = [];
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let begin = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, begin)) {
      line += 1;
      yield sound(decodeLine(line, Buffer.concat([...begun, chunk.subarray(begin, end)]), '\n'), file, line);
      begun = [];
      begin = end + 1;
    }
    if (begin < chunk.length) begun.push(chunk.subarray(begin));
  }
  if (begun.length > 0) yield sound(decodeLine(line + 1, Buffer.concat(begun), ''), file, line + 1);
}

async function* readTextLines(file: string): AsyncGenerator<DatasetRow> {
  for await (const { line, content } of readLines(file)) if (content.trim() !== '') yield { line, text: content, fromMessages: false };
}

async function* readJsonLines(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  for await (const { line, content } of readLines(file)) {
    if (content.trim() === '') continue;
    const { value } = sound(parseJsonLine(content), file, line);
    yield sound(rowOfObject(value, textColumn, line), file, line);
  }
}

/** `line` is the last line of the row. */
async function* readCsv(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  const parser = parse({ ...csvOptions, info: true });
  // The parser counts bytes; its own count of lines takes a \r\n in quotes for two.
  const lineEnds: number[] = [];
  // A failing source ends the parser with its failure, which the loop below meets.
  pipeline(Readable.from(rawLines(file, lineEnds)), parser, () => undefined);
  let [line, column] = [0, -1];
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { bytes: number } }>) {
      while ((lineEnds[line] ?? Infinity) < info.bytes) line += 1;
      if (column >= 0) {
        yield sound(rowOfRecord(record, column, textColumn, line + 1), file, line + 1);
        continue;
      }
      const found = textColumnOf(record, textColumn);
      if (typeof found !== 'number') throw runFailure.datasetInvalid(file, 1, found.detail);
      column = found;
    }
  } catch (error) {
    if (error instanceof CsvError) throw runFailure.datasetInvalid(file, null, error.message.replace(/\.$/, ''));
    throw error;
  }
}

/** Fills `lineEnds` with the number of bytes up to the end of each line. */
async function* rawLines(file: string, lineEnds: number[]): AsyncGenerator<string> {
  let bytes = 0;
  for await (const { content, end } of readLines(file)) {
    const line = content + end;
    lineEnds.push((bytes += Buffer.byteLength(line)));
    yield line;
  }
}
