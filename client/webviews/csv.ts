// Tables as CSV files: RFC 4180, and no cell that a spreadsheet would take for a formula.

export type CsvValue = string | number | null;

const quoted = (text: string): string => {
  const plain = /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return plain !== text || /[",\n\r]/.test(text) ? `"${plain.replaceAll('"', '""')}"` : text;
};

export const csvText = (heads: readonly string[], rows: readonly (readonly CsvValue[])[]): string =>
  [heads, ...rows].map((row) => `${row.map((value) => (typeof value === 'string' ? quoted(value) : (value ?? ''))).join(',')}\n`).join('');
