// Names that differ in one block number only, told as one line: model.layers.{0–31}.mlp.up_proj.

export interface NameGroup<Item> {
  name: string;
  items: Item[];
}

/** Groups in order of first appearance; `kindOf` keeps apart what must not share a line. */
export function groupByName<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
  kindOf: (item: Item) => string,
): NameGroup<Item>[] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = `${nameOf(item).replace(firstNumber, '.*.')}\n${kindOf(item)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()].map((members) => ({ name: groupName(members.map(nameOf)), items: members }));
}

const firstNumber = /\.(\d+)\./;

function groupName(names: readonly string[]): string {
  const first = names[0] ?? '';
  if (names.length === 1) return first;
  return first.replace(firstNumber, `.{${numberRanges(names.map((name) => Number(firstNumber.exec(name)?.[1] ?? -1)))}}.`);
}

/** 0,1,2,5 → `0–2,5`. */
function numberRanges(numbers: readonly number[]): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const number of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && number <= last[1] + 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(',');
}
