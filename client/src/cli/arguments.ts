// Command line → command and invocation, and the help texts made of the same tables.
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { UsageError, type Command, type Invocation, type Option } from './command.js';

export function parseInvocation(command: Command, args: readonly string[]): Invocation | 'help' {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const [name, option] of Object.entries(command.options)) options[name] = { type: option.value === null ? 'boolean' : 'string' };
  const { values, positionals } = parseStrictly(options, args);
  if (values.help === true) return 'help';
  const { least, most } = command.operands;
  if (positionals.length < least || positionals.length > most)
    throw new UsageError(
      positionals.length < least
        ? `${command.name} needs ${command.synopsis}.`
        : `${command.name} takes ${most === 0 ? 'no operand' : most === 1 ? 'one operand' : `at most ${most} operands`}, and ${positionals[most]} is one more.`,
    );
  for (const [name, option] of Object.entries(command.options)) checkValue(name, option, values[name]);
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    operands: positionals,
    flag: (name) => values[name] === true,
    text,
    count: (name) => {
      const value = text(name);
      return value === undefined ? undefined : Number(value);
    },
  };
}

function checkValue(name: string, option: Option, value: unknown): void {
  if (typeof value !== 'string') return;
  if (value === '') throw new UsageError(`--${name} is empty; give it a value.`);
  if (option.count === true && !/^[1-9]\d{0,14}$/.test(value))
    throw new UsageError(`--${name} takes a positive whole number, and ${value} is none.`);
  if (option.choices !== undefined && !option.choices.includes(value))
    throw new UsageError(`--${name} takes ${option.choices.join(', ')}; ${value} is none of them.`);
}

function parseStrictly(options: NonNullable<ParseArgsConfig['options']>, args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // Node's first sentence names the option; the ones after it speak of a syntax for odd file names.
    throw new UsageError(error.message.split('. ')[0]?.replace(/\.?$/, '.') ?? error.message);
  }
}

export function generalHelp(commands: readonly Command[]): string {
  const rows = commands.map((command) => [`${command.name} ${command.synopsis}`.trim(), command.summary] as const);
  return `Quantizes language models by a recipe, and says before the run what would go wrong.

Usage: bitwright COMMAND …

${columns(rows)}

  -h, --help     this text; with a command, its options
  -v, --version  the version

Exit codes: 0 done; 1 problems of severity error, or a failed run; 2 called wrongly; 130 cancelled with Ctrl-C.
`;
}

export function commandHelp(command: Command): string {
  const rows = Object.entries(command.options).map(
    ([name, option]) => [`--${name}${option.value === null ? '' : ` ${option.value}`}`, option.description] as const,
  );
  return `${command.summary}

Usage: bitwright ${command.name} ${command.synopsis}

${columns([...rows, ['-h, --help', 'this text']])}

${command.description}
`;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}
