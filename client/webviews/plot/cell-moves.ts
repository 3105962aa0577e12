// Arrow keys, Home and End in a matrix of cells that has empty places.

export interface Place {
  row: number;
  column: number;
}

const steps: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** The nearest cell in the direction of the key, empty places passed over; the first or last of the row for Home and End. The same cell at the edge, null for any other key. */
export function moveFrom<P extends Place>(from: P, key: string, cells: readonly P[]): P | null {
  if (key === 'Home' || key === 'End') {
    const sign = key === 'Home' ? -1 : 1;
    return cells.filter(({ row }) => row === from.row).reduce((a, b) => (sign * (b.column - a.column) > 0 ? b : a), from);
  }
  const [down, right] = steps[key] ?? [0, 0];
  if (down === 0 && right === 0) return null;
  const distance = ({ row, column }: Place): number => (row - from.row) * down + (column - from.column) * right;
  const inLine = ({ row, column }: Place): boolean => (down === 0 ? row === from.row : column === from.column);
  return cells
    .filter((cell) => inLine(cell) && distance(cell) > 0)
    .reduce((a, b) => (a === from || distance(b) < distance(a) ? b : a), from);
}
