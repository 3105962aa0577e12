// `bitwright check RECIPE…`: the problems of recipes, as the editor shows them.
import { exitCode, recipeOptions, type Command } from '../command.js';
import { counted } from '../format-text.js';
import { hasErrors, listedProblem, problemCounts, problemLines } from '../problem-text.js';
import { startServer } from '../processes.js';
import { recipesAt, resolveRecipe } from '../recipe-file.js';

export const checkCommand: Command = {
  name: 'check',
  synopsis: 'RECIPE…',
  summary: 'Tell what is wrong with recipes, before any weight is read.',
  description: `RECIPE is a file, or a folder: every *.quant.yaml and *.quant.yml in it and below, hidden folders and node_modules left out.
Each problem is printed with its place, what to do, and the recipe line. With --json: an array of
{file, code, severity, message, range}; range counts lines and characters from zero, as LSP does.
Exits with 1 when a problem of severity error is among them.`,
  operands: { least: 1, most: Infinity },
  options: recipeOptions,
  run: async (invocation, terminal) => {
    const server = await startServer();
    try {
      const recipes = [];
      for (const file of await recipesOf(invocation.operands)) recipes.push(await resolveRecipe(server, file, invocation, 'problems'));
      const all = recipes.flatMap(({ problems }) => problems);
      if (invocation.flag('json'))
        terminal.json(recipes.flatMap(({ file, problems }) => problems.map((problem) => listedProblem(file, problem))));
      else {
        for (const recipe of recipes)
          for (const problem of recipe.problems) for (const line of problemLines(recipe, problem)) terminal.out(line);
        terminal.out(`${counted(recipes.length, 'recipe')}: ${problemCounts(all)}`);
      }
      return hasErrors(all) ? exitCode.problems : exitCode.success;
    } finally {
      await server.stop();
    }
  },
};

/** A folder without recipes stays as it is and is a problem: a check that has looked at nothing must not pass. */
async function recipesOf(operands: readonly string[]): Promise<string[]> {
  const found = await Promise.all(operands.map(async (operand) => ({ operand, recipes: await recipesAt(operand) })));
  return found.flatMap(({ operand, recipes }) => (recipes.length === 0 ? [operand] : recipes));
}
