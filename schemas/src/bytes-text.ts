// Bytes for people, worded the same in the editor, on a terminal, in a report and in the failures of a run.

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Decimal units, as disks and model cards count, with one decimal: 1.8 MB. Bytes are counted whole. */
export function bytesText(bytes: number): string {
  let value = Math.round(bytes);
  let unit = 0;
  // What would be written as 1000.0 goes to the next unit.
  while (value >= (unit === 0 ? 1000 : 999.95) && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** 20GB, 500 MiB or 1000 → bytes; null: the text says no such number. */
export function bytesOfText(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(K|M|G|T)?(i)?B?\s*$/i.exec(text);
  if (match === null) return null;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Math.floor(Number(match[1]) * (match[3] === undefined ? 1000 : 1024) ** power);
}
