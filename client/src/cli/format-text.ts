// Numbers and tables as a reader wants them on a terminal.
import { encodedText } from '../../../schemas/src/encoded-weights.js';
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';

export const thousands = (value: number): string => Math.round(value).toLocaleString('en-US');

/** A signed change in percent of `before`. */
export function change(before: number, after: number): string {
  const percent = (after / before - 1) * 100;
  return `${percent >= 0 ? '+' : '−'}${Math.abs(percent).toFixed(1)} %`;
}

/** `int4 group 128 sym, inputs int8 token dynamic`. */
export function schemeText(scheme: QuantizationScheme | null): string {
  if (scheme === null) return 'as it is';
  const parts = [
    scheme.weights === null ? 'weights as they are' : argsText(scheme.weights),
    ...(scheme.input_activations === null ? [] : [`inputs ${argsText(scheme.input_activations)}`]),
    ...(scheme.output_activations === null ? [] : [`outputs ${argsText(scheme.output_activations)}`]),
  ];
  return parts.join(', ');
}

function argsText(args: QuantizationArgs): string {
  if (args.gguf_type !== undefined) return encodedText(args) ?? '';
  const scope = [args.strategy, args.group_size, args.block_structure?.join('×')].filter((part) => part !== null && part !== undefined);
  const dynamic = args.dynamic === true ? ' dynamic' : args.dynamic === 'local' ? ' local' : '';
  return `${args.type}${args.num_bits} ${scope.join(' ')} ${args.symmetric ? 'sym' : 'asym'}${dynamic}`;
}

export interface Column {
  title: string;
  align: 'left' | 'right';
}

/** Rows under titles, two spaces apart, indented by two. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const titles = columns.map((column) => column.title);
  const all = titles.some((title) => title !== '') ? [titles, ...rows] : [...rows];
  const widths = columns.map((_, index) => Math.max(...all.map((row) => (row[index] ?? '').length), 0));
  const line = (row: readonly string[]): string =>
    columns
      .map(({ align }, index) =>
        align === 'left' ? (row[index] ?? '').padEnd(widths[index] ?? 0) : (row[index] ?? '').padStart(widths[index] ?? 0),
      )
      .join('  ');
  return all.map((row) => `  ${line(row)}`.trimEnd());
}

/** Counts a noun: `1 error`, `3 errors`. */
export const counted = (count: number, noun: string): string => `${thousands(count)} ${noun}${count === 1 ? '' : 's'}`;
