// The first rows of a dataset file, read without the rest of it: its columns, and what of it cannot be read.
import { CsvError, parse } from 'csv-parse/sync';
import {
  csvOptions,
  datasetKind,
  decodeLine,
  parseJsonLine,
  rowOfObject,
  rowOfRecord,
  textColumnOf,
  type DatasetKind,
  type DatasetRow,
  type Line,
  type RowFault,
} from './dataset-row.js';

/** Bytes [offset, offset + length), fewer at the end of the file. */
export type ReadRange = (file: string, offset: number, length: number) => Promise<Uint8Array>;

/** A row as the file has it, before a column of it is chosen. */
type RawRow =
  | { kind: 'text'; line: number; text: string }
  | { kind: 'object'; line: number; value: Readonly<Record<string, unknown>> }
  | { kind: 'record'; line: number; record: readonly string[] };

export interface DatasetHead {
  kind: DatasetKind;
  /** No more is in the file than these rows. */
  isWhole: boolean;
  /** In the order in which they appear; none in a .txt file. */
  columns: readonly string[];
  rows: readonly RawRow[];
  /** Behind `rows`: the first line that cannot be read at all. */
  fault: HeadFault | null;
}

/** `line` null: the file as a whole. */
export type HeadFault = RowFault & { line: number | null };

const HEAD_BYTES = 64 * 1024;
/** For the file whose first line is longer than that. */
const LONG_HEAD_BYTES = 1024 * 1024;

/** null for an ending that is not read. A first line longer than a megabyte yields no row and no fault. */
export async function readDatasetHead(file: string, readRange: ReadRange): Promise<DatasetHead | null> {
  const kind = datasetKind(file);
  if (kind === null) return null;
  try {
    let bytes = await readRange(file, 0, HEAD_BYTES);
    let isWhole = bytes.length < HEAD_BYTES;
    if (!isWhole && !bytes.includes(NEWLINE)) {
      bytes = await readRange(file, 0, LONG_HEAD_BYTES);
      isWhole = bytes.length < LONG_HEAD_BYTES;
    }
    return headOf(kind, bytes, isWhole);
  } catch (error) {
    // What the file system says: no permission, a broken disk.
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    return { kind, isWhole: false, columns: [], rows: [], fault: { line: null, detail: error.message, columns: null } };
  }
}

export interface TextColumn {
  name: string;
  /** Its first text. */
  sample: string;
}

/** The columns that hold a text in some row. */
export function textColumns({ columns, rows }: DatasetHead): TextColumn[] {
  return columns.flatMap((name, index): TextColumn[] => {
    for (const row of rows) {
      const value = row.kind === 'object' ? row.value[name] : row.kind === 'record' ? row.record[index] : undefined;
      if (typeof value === 'string') return [{ name, sample: value }];
    }
    return [];
  });
}

export interface HeadReading {
  rows: readonly DatasetRow[];
  /** Of the rows that are used: the first that is none. */
  fault: HeadFault | null;
}

/** The rows as a run would read them; `limit` is the number that it uses, from the start. */
export function readRows({ kind, rows: raw, columns, fault, isWhole }: DatasetHead, textColumn: string, limit: number): HeadReading {
  const rows: DatasetRow[] = [];
  // Its header was read.
  const column = kind === 'csv' && columns.length > 0 ? textColumnOf(columns, textColumn) : 0;
  if (typeof column !== 'number') return { rows, fault: { ...column, line: 1 } };
  for (const one of raw.slice(0, limit)) {
    const row =
      one.kind === 'text'
        ? { line: one.line, text: one.text, fromMessages: false }
        : one.kind === 'object'
          ? rowOfObject(one.value, textColumn, one.line)
          : rowOfRecord(one.record, column, textColumn, one.line);
    if ('detail' in row) return { rows, fault: { ...row, line: one.line } };
    rows.push(row);
  }
  if (rows.length >= limit) return { rows, fault: null };
  if (isWhole && raw.length === 0 && fault === null)
    return { rows, fault: { line: null, detail: columns.length > 0 ? 'it has a header and no row' : 'it has no row', columns: null } };
  return { rows, fault };
}

const NEWLINE = 0x0a;

function headOf(kind: DatasetKind, bytes: Uint8Array, isWhole: boolean): DatasetHead {
  const lines: Line[] = [];
  let fault: HeadFault | null = null;
  let begin = 0;
  while (begin < bytes.length && fault === null) {
    const end = bytes.indexOf(NEWLINE, begin);
    // The last line may go on behind the head.
    if (end < 0 && !isWhole) break;
    const decoded = decodeLine(lines.length + 1, bytes.subarray(begin, end < 0 ? undefined : end), end < 0 ? '' : '\n');
    if ('detail' in decoded) fault = { ...decoded, line: lines.length + 1, ...(lines.length === 0 ? otherFormat(bytes) : {}) };
    else lines.push(decoded);
    begin = end < 0 ? bytes.length : end + 1;
  }
  const isComplete = isWhole && fault === null;
  if (kind === 'csv') return { kind, isWhole: isComplete, ...recordsOf(lines, isComplete, fault) };
  const said = lines.filter(({ content }) => content.trim() !== '');
  if (kind === 'txt')
    return {
      kind,
      isWhole: isComplete,
      columns: [],
      rows: said.map(({ line, content }) => ({ kind: 'text', line, text: content })),
      fault,
    };
  return { kind, isWhole: isComplete, ...objectsOf(said, fault) };
}

type Read = Pick<DatasetHead, 'columns' | 'rows' | 'fault'>;

function objectsOf(lines: readonly Line[], behind: HeadFault | null): Read {
  const rows: RawRow[] = [];
  const columns = new Set<string>();
  for (const { line, content } of lines) {
    const parsed = parseJsonLine(content);
    if ('detail' in parsed) {
      const isList = rows.length === 0 && content.trimStart().startsWith('[');
      const detail = isList ? 'the file is one JSON list, and a .jsonl file has one JSON object per line' : parsed.detail;
      return { columns: [...columns], rows, fault: { detail, columns: null, line } };
    }
    rows.push({ kind: 'object', line, value: parsed.value });
    for (const name of Object.keys(parsed.value)) columns.add(name);
  }
  return { columns: [...columns], rows, fault: behind };
}

/** Line ends in quotes make a record longer than a line, so that the last of a cut file is not judged. */
function recordsOf(lines: readonly Line[], isWhole: boolean, behind: HeadFault | null): Read {
  const records: { line: number; record: string[] }[] = [];
  const text = lines.map(({ content, end }) => content + end).join('');
  let fault: HeadFault | null = behind;
  const encoded = new TextEncoder().encode(text);
  let [line, counted] = [1, 0];
  try {
    parse(text, {
      ...csvOptions,
      on_record: (record: string[], info) => {
        // The line on which the record ends.
        for (; counted < info.bytes - 1; counted += 1) if (encoded[counted] === NEWLINE) line += 1;
        records.push({ line, record });
        return null;
      },
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    if (isWhole || error.code !== 'CSV_QUOTE_NOT_CLOSED') fault = { line: null, detail: error.message.replace(/\.$/, ''), columns: null };
  }
  const [header, ...rows] = records;
  return { columns: header?.record ?? [], rows: rows.map((row) => ({ kind: 'record', ...row })), fault };
}

/** What a file that is no text begins with. */
function otherFormat(bytes: Uint8Array): { detail: string } | null {
  const starts = (...wanted: number[]): boolean => wanted.every((byte, index) => bytes[index] === byte);
  const found = starts(0x50, 0x41, 0x52, 0x31)
    ? 'a Parquet file'
    : starts(0x1f, 0x8b)
      ? 'compressed (gzip)'
      : starts(0x50, 0x4b, 3, 4)
        ? 'a zip archive'
        : starts(0xff, 0xfe) || starts(0xfe, 0xff)
          ? 'UTF-16'
          : null;
  return found === null ? null : { detail: `it is ${found}, not UTF-8 text` };
}
