// Rows of a dataset file, in file order: .jsonl (text, messages or input_ids), .txt (one row per line that is not blank), .csv (with a header).
import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parse } from 'csv-parse';
import { runFailure, type RunFailureError } from '../../../schemas/src/run-failure.js';

export type DatasetRow = { line: number; text: string; fromMessages: boolean } | { line: number; input_ids: number[] };

export async function* readDatasetRows(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  await access(file).catch((error: NodeJS.ErrnoException) => {
    throw runFailure.fileUnreadable(file, error.message);
  });
  const kind = path.extname(file).toLowerCase();
  if (kind === '.jsonl') yield* readJsonLines(file, textColumn);
  else if (kind === '.txt') yield* readTextLines(file);
  else if (kind === '.csv') yield* readCsv(file, textColumn);
  else throw runFailure.datasetInvalid(file, null, `its ending is ${kind || 'missing'}, and datasets are .jsonl, .txt or .csv`);
}

async function* readLines(file: string): AsyncGenerator<{ line: number; content: string }> {
  let line = 0;
  for await (const content of createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Infinity })) {
    line += 1;
    if (content.trim() !== '') yield { line, content };
  }
}

async function* readTextLines(file: string): AsyncGenerator<DatasetRow> {
  for await (const { line, content } of readLines(file)) yield { line, text: content, fromMessages: false };
}

async function* readJsonLines(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  for await (const { line, content } of readLines(file)) {
    let value: unknown;
    try {
      value = JSON.parse(content);
    } catch (error) {
      throw runFailure.datasetInvalid(file, line, `the line is not JSON (${error instanceof Error ? error.message : String(error)})`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw runFailure.datasetInvalid(file, line, 'the line is not a JSON object');
    yield rowOfObject(value as Record<string, unknown>, textColumn, line, (detail) => runFailure.datasetInvalid(file, line, detail));
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
  const { input_ids, messages } = value;
  if (Array.isArray(input_ids)) {
    if (!input_ids.every((id) => Number.isInteger(id))) throw invalid('input_ids holds something that is not an integer');
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

async function* readCsv(file: string, textColumn: string): AsyncGenerator<DatasetRow> {
  const parser = createReadStream(file, 'utf8').pipe(parse({ bom: true, info: true, relax_column_count: true }));
  let column = -1;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      if (column < 0) {
        column = record.indexOf(textColumn);
        if (column < 0)
          throw runFailure.datasetInvalid(file, 1, `there is no column ${textColumn} (text_column); its columns are ${record.join(', ')}`);
        continue;
      }
      const text = record[column] ?? '';
      if (text.trim() !== '') yield { line: info.lines, text, fromMessages: false };
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('CSV_'))
      throw runFailure.datasetInvalid(file, null, error.message);
    throw error;
  }
}
