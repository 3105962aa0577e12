// How PyYAML's safe loader reads scalars (YAML 1.1 with its own narrower numbers), as tags of the yaml library. llm-compressor reads recipes so.
import { isScalar, isSeq } from 'yaml';
import type { CollectionTag, ScalarTag, Tags } from 'yaml';

/** What a tag reports becomes an error of the document. */
type OnError = (message: string) => void;

const withoutUnderscores = (text: string): string => text.replaceAll('_', '');

/** Digits with a sign, in a base; negative zero is zero, as in Python. */
const integer = (text: string, digits: string, radix: number, onError: OnError): number => {
  const value = parseInt(digits, radix);
  if (Number.isNaN(value)) onError(`${text} has no digits behind its prefix, PyYAML fails on it`);
  return (text.startsWith('-') ? -value : value) + 0;
};

/** Base 60: 1:30 is 90. */
const sexagesimal = (text: string): number => {
  const value = withoutUnderscores(text.replace(/^[-+]/, ''))
    .split(':')
    .reduce((sum, part) => sum * 60 + Number(part), 0);
  return text.startsWith('-') ? -value : value;
};

const scalar = (name: string, test: RegExp, resolve: (text: string, onError: OnError) => unknown): ScalarTag => ({
  tag: `tag:yaml.org,2002:${name}`,
  default: true,
  test,
  resolve,
});

/** The first that fits counts. `1e-3` fits none: a float needs a point, and a sign in its exponent. `y`, `017`-like `08` and a lone `.` are text. */
const scalars: readonly ScalarTag[] = [
  scalar('bool', /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/, () => true),
  scalar('bool', /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/, () => false),
  scalar('float', /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?$/, (text) => Number(withoutUnderscores(text))),
  scalar('float', /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*$/, sexagesimal),
  scalar('float', /^[-+]?\.(?:inf|Inf|INF)$/, (text) => (text.startsWith('-') ? -Infinity : Infinity)),
  scalar('float', /^\.(?:nan|NaN|NAN)$/, () => NaN),
  scalar('int', /^[-+]?0b[01_]+$/, (text, onError) => integer(text, withoutUnderscores(text).replace(/^[-+]?0b/, ''), 2, onError)),
  scalar('int', /^[-+]?0x[0-9a-fA-F_]+$/, (text, onError) => integer(text, withoutUnderscores(text).replace(/^[-+]?0x/, ''), 16, onError)),
  scalar('int', /^[-+]?0[0-7_]*$/, (text, onError) => integer(text, withoutUnderscores(text).replace(/^[-+]/, ''), 8, onError)),
  scalar('int', /^[-+]?[1-9][0-9_]*$/, (text, onError) => integer(text, withoutUnderscores(text).replace(/^[-+]/, ''), 10, onError)),
  scalar('int', /^[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+$/, sexagesimal),
  scalar('timestamp', /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/, dateOf),
  scalar(
    'timestamp',
    /^[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?$/,
    dateOf,
  ),
];

/** A date is no value of any field; what counts is that it is not text, and that an impossible one is refused. */
function dateOf(text: string, onError: OnError): unknown {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (text.match(/\d+/g) ?? []).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  // A month of 13 or a day of 31 in June would be carried into the next.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59 || year === 0) {
    onError(`${text} reads as a date and there is no such date, PyYAML fails on it. Put quotes around a text`);
    return text;
  }
  return date;
}

/** An explicit !!int, !!float or !!bool takes more texts than the implicit one. */
const explicitly = (name: 'int' | 'float' | 'bool', resolve: (text: string) => unknown): ScalarTag => ({
  tag: `tag:yaml.org,2002:${name}`,
  default: false,
  resolve: (text, onError) => {
    const implicit = scalars.find(({ tag, test }) => tag.endsWith(`:${name}`) && test?.test(text));
    const value = implicit === undefined ? resolve(text) : implicit.resolve(text, onError, {});
    if (value === undefined) onError(`${JSON.stringify(text)} is no ${name}, PyYAML fails on it`);
    return value ?? text;
  },
});
const decimal = (text: string): number | undefined =>
  /^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?$/.test(text) ? Number(withoutUnderscores(text)) : undefined;
const explicitScalars: readonly ScalarTag[] = [
  explicitly('int', (text) => (/^[-+]?[0-9_]+$/.test(text) ? decimal(text) : undefined)),
  explicitly('float', decimal),
  explicitly('bool', (text) => ({ yes: true, true: true, on: true, no: false, false: false, off: false })[text.toLowerCase()]),
];

/** `=` as a key is text; `=` and `<<` as values have tags that the safe loader cannot construct. */
const equalsKey: ScalarTag = { tag: 'tag:yaml.org,2002:value', default: 'key', test: /^=$/, resolve: (text) => text };
const noValue: ScalarTag = {
  tag: 'tag:yaml.org,2002:value',
  default: true,
  test: /^(?:=|<<)$/,
  resolve: (text, onError) => {
    onError(`A lone ${text} has a meaning of its own in YAML 1.1 that PyYAML's safe loader refuses. Put quotes around it`);
    return text;
  },
};

/** Names of tags that llm-compressor leaves in the recipes it saves, and that its own safe loader refuses. */
export const pythonTagPrefix = 'tag:yaml.org,2002:python/';
const enumTag = `${pythonTagPrefix}object/apply:compressed_tensors.quantization.quant_args.`;

/** A tuple is read as a list, an enumeration value as the one text it is made of. */
const pythonTags: readonly CollectionTag[] = [
  { tag: `${pythonTagPrefix}tuple`, collection: 'seq', default: false },
  ...['QuantizationType', 'QuantizationStrategy', 'DynamicType', 'ActivationOrdering'].map((name): CollectionTag => ({
    tag: enumTag + name,
    collection: 'seq',
    default: false,
    resolve: (value) => {
      const [only] = isSeq(value) ? value.items : [];
      return isScalar(only) && isSeq(value) && value.items.length === 1 ? only : value;
    },
  })),
];

/** For `customTags`: the library's own collections, strings, nulls and merge keys stay, its numbers, booleans and dates go. */
export const pyYamlTags = (known: Tags): Tags => {
  const own = known.filter((tag) => typeof tag !== 'object' || !/:(?:bool|int|float|timestamp|binary|omap|pairs|set)$/.test(tag.tag));
  // The merge key must be met before `noValue`, which has the same text.
  return [...own, equalsKey, ...scalars, ...explicitScalars, noValue, ...pythonTags];
};

/** Explicit tags that PyYAML knows and no field can hold; the library reads them as plain collections and texts. */
export const knownToPyYaml = (tag: string): boolean => /^tag:yaml\.org,2002:(?:binary|omap|pairs|set|timestamp|value)$/.test(tag);
