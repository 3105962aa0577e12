// A model argument of the command line → its description, asked from the language server; what stands in the way goes to stderr.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { startServer } from './processes.js';
import { modelArgument } from './recipe-file.js';
import type { Terminal } from './terminal.js';

export async function describeModel(argument: string, terminal: Terminal): Promise<ModelDescription | null> {
  const server = await startServer();
  try {
    const { model, problems } = await server.describeModel({ model: modelArgument(argument) });
    for (const problem of problems) {
      terminal.err(`${argument}: ${problem.severity} ${problem.code}  ${problem.message}`);
      for (const note of problem.notes ?? []) terminal.err(`  note: ${note}`);
    }
    return model;
  } finally {
    await server.stop();
  }
}
