// What a row of a dataset file is: one rule for the server, which looks at the head of a file, and for the worker, which reads all of it.

export type DatasetRow = { line: number; text: string; fromMessages: boolean } | { line: number; input_ids: number[] };

/** Why a line is no row, in one clause. */
export interface RowFault {
  detail: string;
  /** The column that the recipe names is not there, and these are; null where something else is wrong. */
  columns: readonly string[] | null;
}

export type DatasetKind = 'jsonl' | 'txt' | 'csv';

/** By the ending of the file; null for one that is not read. */
export function datasetKind(file: string): DatasetKind | null {
  const ending = /\.(jsonl|txt|csv)$/i.exec(file)?.[1]?.toLowerCase();
  return ending === 'jsonl' || ending === 'txt' || ending === 'csv' ? ending : null;
}

/** For csv-parse; RFC 4180, a quoted field may hold line ends. */
export const csvOptions = { record_delimiter: ['\r\n', '\n'], relax_column_count: true, skip_empty_lines: true };

export interface Line {
  line: number;
  /** Without the line end. */
  content: string;
  /** "\n", "\r\n" or, behind the last line, nothing. */
  end: string;
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes up to a \n, or up to the end of the file, as text. */
export function decodeLine(line: number, bytes: Uint8Array, end: '\n' | ''): Line | RowFault {
  const isCrlf = end !== '' && bytes.at(-1) === 0x0d;
  let content: string;
  try {
    content = strictDecoder.decode(isCrlf ? bytes.subarray(0, -1) : bytes);
  } catch {
    return fault('the line is not UTF-8; convert the file to UTF-8');
  }
  return { line, content: line === 1 ? content.replace(/^\ufeff/, '') : content, end: isCrlf ? '\r\n' : end };
}

export function parseJsonLine(content: string): { value: Readonly<Record<string, unknown>> } | RowFault {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    return fault(`the line is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fault('the line is not a JSON object');
  return { value: value as Record<string, unknown> };
}

/** The text of its column, else input_ids, else messages. */
export function rowOfObject(value: Readonly<Record<string, unknown>>, textColumn: string, line: number): DatasetRow | RowFault {
  const text = value[textColumn];
  if (typeof text === 'string') return { line, text, fromMessages: false };
  if (text !== undefined) return fault(`${textColumn} (text_column) is ${describe(text)}, not a text`);
  const { input_ids, messages } = value;
  if (Array.isArray(input_ids)) {
    const wrong = input_ids.find((id) => !Number.isInteger(id)) as unknown;
    if (wrong !== undefined) return fault(`input_ids holds ${describe(wrong)}, which is not an integer`);
    return { line, input_ids: input_ids as number[] };
  }
  if (Array.isArray(messages)) {
    const contents = messages.map((message: unknown) => (message as { content?: unknown } | null)?.content);
    if (!contents.every((content) => typeof content === 'string')) return fault('a message has no content that is a text');
    return { line, text: contents.join('\n'), fromMessages: true };
  }
  const columns = Object.keys(value);
  return {
    detail: `the row has neither ${textColumn} (text_column) nor messages nor input_ids; it has ${listed(columns) || 'nothing'}`,
    columns,
  };
}

/** Where the text stands in the records of a .csv file. */
export function textColumnOf(header: readonly string[], textColumn: string): number | RowFault {
  const column = header.indexOf(textColumn);
  if (column >= 0) return column;
  return { detail: `there is no column ${textColumn} (text_column); its columns are ${listed(header)}`, columns: header };
}

export function rowOfRecord(record: readonly string[], column: number, textColumn: string, line: number): DatasetRow | RowFault {
  const text = record[column];
  if (text !== undefined) return { line, text, fromMessages: false };
  return fault(`the row has ${record.length} columns and ${textColumn} (text_column) is column ${column + 1}`);
}

const mostListed = 12;
const longestListed = 40;

/** A .csv file without a header has a text in place of each name. */
function listed(columns: readonly string[]): string {
  const names = columns
    .slice(0, mostListed)
    .map((name) => (name.length > longestListed ? `${[...name.slice(0, 2 * longestListed)].slice(0, longestListed).join('')}…` : name));
  return columns.length > mostListed ? `${names.join(', ')} and ${columns.length - mostListed} more` : names.join(', ');
}

const fault = (detail: string): RowFault => ({ detail, columns: null });

const describe = (value: unknown): string =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'a list'
      : typeof value === 'object'
        ? 'an object'
        : `the ${typeof value} ${String(value)}`;
