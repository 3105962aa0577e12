// Command line → command and invocation, and the help texts made of the same tables.
import { parseArgs } from 'node:util';
import { UsageError, type Command, type Invocation, type Option } from './command.js';

export function parseInvocation(command: Command, args: readonly string[]): Invocation | 'help' {
  const { values, operands } = readArguments(command, args);
  if (values.has('help')) return 'help';
  const { least, most } = command.operands;
  if (operands.length < least || operands.includes(''))
    throw new UsageError(`${command.name} needs ${command.synopsis}${operands.includes('') ? ', and an operand is empty' : ''}.`);
  if (operands.length > most)
    throw new UsageError(
      `${command.name} takes ${most === 0 ? 'no operand' : most === 1 ? 'one operand' : `at most ${most} operands`}, and ${operands[most]} is one more.`,
    );
  for (const [name, option] of Object.entries(command.options)) checkValue(name, option, values.get(name));
  const text = (name: string): string | undefined => values.get(name);
  return {
    operands,
    flag: (name) => values.has(name),
    text,
    count: (name) => {
      const value = text(name);
      return value === undefined ? undefined : Number(value);
    },
  };
}

function checkValue(name: string, option: Option, value: string | undefined): void {
  if (value === undefined || option.value === null) return;
  if (value === '') throw new UsageError(`--${name} is empty; give it a value.`);
  const most = option.count?.most ?? Infinity;
  if (option.count !== undefined && !(/^[1-9]\d{0,14}$/.test(value) && Number(value) <= most))
    throw new UsageError(
      `--${name} takes ${most === Infinity ? 'a positive whole number' : `a whole number from 1 to ${most}`}, and ${value} is none.`,
    );
  if (option.form?.fits(value) === false) throw new UsageError(`--${name} takes ${option.form.words}; ${value} is none of them.`);
}

/** Options by name (a flag has the value ''), and what is no option. Node's own strict mode would speak of ambiguous syntax where a value is missing. */
function readArguments({ name: command, options }: Command, args: readonly string[]): { values: Map<string, string>; operands: string[] } {
  const known: Record<string, { type: 'boolean' | 'string'; short?: string }> = { help: { type: 'boolean', short: 'h' } };
  for (const [name, option] of Object.entries(options)) known[name] = { type: option.value === null ? 'boolean' : 'string' };
  const { tokens } = parseArgs({ args: [...args], options: known, allowPositionals: true, strict: false, tokens: true });
  const values = new Map<string, string>();
  const operands: string[] = [];
  let wrong: UsageError | null = null;
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    wrong ??= misuseOf(command, options, token);
    values.set(token.name, token.value ?? '');
  }
  // Who asks for help gets it, whatever else is wrong.
  if (wrong !== null && !values.has('help')) throw wrong;
  return { values, operands };
}

interface OptionToken {
  name: string;
  rawName: string;
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}

function misuseOf(command: string, options: Command['options'], { name, rawName, value, inlineValue }: OptionToken): UsageError | null {
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (option === undefined) {
    if (name === 'help') return value === undefined ? null : new UsageError(`${rawName} takes no value, and ${value} is one.`);
    const names = [...Object.keys(options), 'help'].map((each) => `--${each}`);
    return new UsageError(`${command} has no option ${rawName}; it has ${names.join(', ')}.`);
  }
  if (option.value === null) return value === undefined ? null : new UsageError(`${rawName} takes no value, and ${value} is one.`);
  if (value === undefined) return new UsageError(`${rawName} needs a value: ${rawName} ${option.value}.`);
  if (inlineValue !== true && /^--|^-[a-z]/i.test(value))
    return new UsageError(
      `${rawName} needs a value, and the option ${value} follows it. A value that begins with - is written ${rawName}=${value}.`,
    );
  return null;
}

export function generalHelp(commands: readonly Command[]): string {
  const rows = commands.map((command) => [`${command.name} ${command.synopsis}`.trim(), command.summary] as const);
  return `Quantizes language models by a recipe, and says before the run what would go wrong.

Usage: bitwright COMMAND …

${columns(rows)}

  -h, --help     this text; bitwright COMMAND --help: what the command does, and its options
  -v, --version  the version

Exit codes: 0 done; 1 problems of severity error, or a failed run; 2 called wrongly; 130 cancelled with Ctrl-C.
`;
}

export function commandHelp(command: Command): string {
  const rows = Object.entries(command.options).map(
    ([name, option]) => [`--${name}${option.value === null ? '' : ` ${option.value}`}`, option.description] as const,
  );
  return `${command.summary}

Usage: ${`bitwright ${command.name} ${command.synopsis}`.trimEnd()}

${columns([...rows, ['-h, --help', 'this text']])}

${command.description}
`;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}
