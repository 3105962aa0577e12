// Rows of a dataset file, in file order: .jsonl (text, messages or input_ids), .txt (one row per line that is not blank), .csv (with a header).
// Files are UTF-8; what cannot be read as the plan says is told with its line, never passed over.
import { createReadStream } from 'node:fs';
import path from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';

export type DatasetRow = { line: number; text: string; fromMessages: boolean } | { line: number; input_ids: number[] };

export async function* readDatasetRows(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  const kind = path.extname(file).toLowerCase();
  try {
    if (kind === '.jsonl') yield* readJsonLines(file, textColumn);
    else if (kind === '.txt') yield* readTextLines(file);
    else if (kind === '.csv') yield* readCsv(file, textColumn);
    else throw runFailure.datasetInvalid(file, null, `its ending is ${kind || 'missing'}, and datasets are .jsonl, .txt or .csv`);
  } catch (error) {
    // What the file system says: no such file, no permission, a folder.
    if (!(error instanceof RunFailureError) && error instanceof Error && 'syscall' in error)
      throw runFailure.fileUnreadable(file, error.message);
    throw error;
  }
}

interface Line {
  line: number;
  /** Without the line end. */
  content: string;
  /** "\n", "\r\n" or, behind the last line, nothing. */
  end: string;
}

/** Lines end at \n or \r\n only: a text may hold the other separators of Unicode. */
async function* readLines(file: string): AsyncGenerator<Line> {
  let line = 0;
  let begun: Buffer[] = [];
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let begin = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, begin)) {
      yield decodeLine(file, (line += 1), Buffer.concat([...begun, chunk.subarray(begin, end)]), '\n');
      begun = [];
      begin = end + 1;
    }
    if (begin < chunk.length) begun.push(chunk.subarray(begin));
  }
  if (begun.length > 0) yield decodeLine(file, line + 1, Buffer.concat(begun), '');
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeLine(file: string, line: number, bytes: Buffer, end: string): Line {
  const isCrlf = end !== '' && bytes.at(-1) === 0x0d;
  let content: string;
  try {
    content = strictDecoder.decode(isCrlf ? bytes.subarray(0, -1) : bytes);
  } catch {
    throw runFailure.datasetInvalid(file, line, 'the line is not UTF-8; convert the file to UTF-8');
  }
  return { line, content: line === 1 ? content.replace(/^\ufeff/, '') : content, end: isCrlf ? '\r\n' : end };
}

async function* readTextLines(file: string): AsyncGenerator<DatasetRow> {
  for await (const { line, content } of readLines(file)) if (content.trim() !== '') yield { line, text: content, fromMessages: false };
}

async function* readJsonLines(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  for await (const { line, content } of readLines(file)) {
    if (content.trim() === '') continue;
    const invalid = (detail: string): RunFailureError => runFailure.datasetInvalid(file, line, detail);
    let value: unknown;
    try {
      value = JSON.parse(content);
    } catch (error) {
      throw invalid(`the line is not JSON (${error instanceof Error ? error.message : String(error)})`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('the line is not a JSON object');
    yield rowOfObject(value as Record<string, unknown>, textColumn, line, invalid);
  }
}

function rowOfObject(
  value: Record<string, unknown>,
  textColumn: string,
  line: number,
  invalid: (detail: string) => RunFailureError,
): DatasetRow {
  const text = value[textColumn];
  if (typeof text === 'string') return { line, text, fromMessages: false };
  if (text !== undefined) throw invalid(`${textColumn} (text_column) is ${describe(text)}, not a text`);
  const { input_ids, messages } = value;
  if (Array.isArray(input_ids)) {
    const wrong = input_ids.find((id) => !Number.isInteger(id)) as unknown;
    if (wrong !== undefined) throw invalid(`input_ids holds ${describe(wrong)}, which is not an integer`);
    return { line, input_ids: input_ids as number[] };
  }
  if (Array.isArray(messages)) {
    const contents = messages.map((message: unknown) => (message as { content?: unknown } | null)?.content);
    if (!contents.every((content) => typeof content === 'string')) throw invalid('a message has no content that is a text');
    return { line, text: contents.join('\n'), fromMessages: true };
  }
  throw invalid(
    `the row has neither ${textColumn} (text_column) nor messages nor input_ids; it has ${Object.keys(value).join(', ') || 'nothing'}`,
  );
}

const describe = (value: unknown): string =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'a list'
      : typeof value === 'object'
        ? 'an object'
        : `the ${typeof value} ${String(value)}`;

/** RFC 4180: a quoted field may hold line ends. `line` is the last line of the row. */
async function* readCsv(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  const parser = parse({ info: true, record_delimiter: ['\r\n', '\n'], relax_column_count: true, skip_empty_lines: true });
  // The parser counts bytes; its own count of lines takes a \r\n in quotes for two.
  const lineEnds: number[] = [];
  // A failing source ends the parser with its failure, which the loop below meets.
  pipeline(Readable.from(rawLines(file, lineEnds)), parser, () => undefined);
  let [line, column] = [0, -1];
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { bytes: number } }>) {
      while ((lineEnds[line] ?? Infinity) < info.bytes) line += 1;
      const text = record[column];
      if (text !== undefined) yield { line: line + 1, text, fromMessages: false };
      else if (column >= 0)
        throw runFailure.datasetInvalid(
          file,
          line + 1,
          `the row has ${record.length} columns and ${textColumn} (text_column) is column ${column + 1}`,
        );
      else {
        column = record.indexOf(textColumn);
        if (column < 0)
          throw runFailure.datasetInvalid(file, 1, `there is no column ${textColumn} (text_column); its columns are ${record.join(', ')}`);
      }
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
