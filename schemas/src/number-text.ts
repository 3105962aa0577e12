// Numbers as people read them, the same in every process.

/** Three significant digits without an exponent where that is short. */
export function trim(value: number): string {
  if (value === 0) return '0';
  const magnitude = Math.abs(value);
  if (magnitude < 1e-3 || magnitude >= 1e6) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

export const percent = (value: number): string => (value === 0 ? '0 %' : `${trim(value * 100)} %`);
