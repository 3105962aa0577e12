// Names that differ in the numbers of blocks and experts only, told as one line: model.layers.{3–60}.mlp.experts.{0–255}.up_proj.
import { groupBy } from '../../../schemas/src/group-by.js';

export interface NameGroup<Item> {
  name: string;
  items: Item[];
}

/** Groups in order of first appearance, each of every combination of the numbers in its name; `kindOf` keeps apart what must not share a line. */
export function groupByName<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
  kindOf: (item: Item) => string,
): NameGroup<Item>[] {
  const groups = new Map<string, Numbered<Item>[]>();
  for (const item of items) {
    const name = nameOf(item);
    const numbers = [...name.matchAll(number)].map(([, digits]) => Number(digits));
    const key = `${name.replace(number, '.*')}\n${kindOf(item)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [{ item, numbers }]);
    else group.push({ item, numbers });
  }
  return [...groups.values()].flatMap((members) =>
    productsOf(members, 0).map(({ ranges, items }) => {
      const left = [...ranges];
      return { name: nameOf(items[0] as Item).replace(number, () => `.${left.shift()}`), items };
    }),
  );
}

const number = /\.(\d+)(?=\.)/g;

interface Numbered<Item> {
  item: Item;
  numbers: number[];
}

interface Product<Item> {
  ranges: string[];
  items: Item[];
}

/** Members that have the same numbers up to `at` → as few sets of all combinations as hold them, first numbers with the same rest together. */
function productsOf<Item>(members: readonly Numbered<Item>[], at: number): Product<Item>[] {
  if (at >= (members[0]?.numbers.length ?? 0)) return [{ ranges: [], items: members.map(({ item }) => item) }];
  const byNumber = groupBy(members, ({ numbers }) => numbers[at] ?? 0);
  const rests = [...byNumber].map(([value, own]) => ({ value, rest: productsOf(own, at + 1) }));
  return [...groupBy(rests, ({ rest }) => rest.map(({ ranges }) => ranges.join('.')).join(' ')).values()].flatMap((alike) => {
    const values = alike.map(({ value }) => value);
    const range = values.length === 1 ? `${values[0]}` : `{${numberRanges(values)}}`;
    return (alike[0]?.rest ?? []).map(({ ranges }, index) => ({
      ranges: [range, ...ranges],
      items: alike.flatMap(({ rest }) => rest[index]?.items ?? []),
    }));
  });
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
