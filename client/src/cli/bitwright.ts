#!/usr/bin/env node
// The command line: chooses the command, turns usage errors and failures into sentences and exit codes.
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import { commandHelp, generalHelp, parseInvocation } from './arguments.js';
import { exitCode, UsageError, type Command, type ExitCode } from './command.js';
import { checkCommand } from './commands/check.js';
import { devicesCommand } from './commands/devices.js';
import { evaluateCommand } from './commands/evaluate.js';
import { inspectCommand } from './commands/inspect.js';
import { lspCommand } from './commands/lsp.js';
import { planCommand } from './commands/plan.js';
import { quantizeCommand } from './commands/quantize.js';
import { HostError } from './processes.js';
import { openTerminal, type Terminal } from './terminal.js';
import { version } from './version.js';

const commands: readonly Command[] = [
  checkCommand,
  planCommand,
  quantizeCommand,
  evaluateCommand,
  inspectCommand,
  devicesCommand,
  lspCommand,
];

async function main(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    terminal.out(generalHelp(commands).trimEnd());
    return name === undefined ? exitCode.usage : exitCode.success;
  }
  if (name === '--version' || name === '-v') {
    terminal.out(version);
    return exitCode.success;
  }
  const command = commands.find((candidate) => candidate.name === name);
  try {
    if (command === undefined)
      throw new UsageError(`There is no command ${name}; there are ${commands.map((each) => each.name).join(', ')}.`);
    const invocation = parseInvocation(command, rest);
    if (invocation !== 'help') return await command.run(invocation, terminal);
    terminal.out(commandHelp(command).trimEnd());
    return exitCode.success;
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.err(`${error.message}\nSee bitwright ${command === undefined ? '' : `${command.name} `}--help.`);
      return exitCode.usage;
    }
    if (error instanceof RunFailureError || error instanceof HostError) {
      terminal.err(error.message);
      return exitCode.problems;
    }
    throw error;
  }
}

void main(process.argv.slice(2), openTerminal(process.stdout, process.stderr)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`Bitwright has a bug: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = exitCode.problems;
  },
);
