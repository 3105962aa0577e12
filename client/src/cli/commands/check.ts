// `bitwright check RECIPE…`: the problems of recipes, as the editor shows them.
import { exitCode, recipeOptions, type Command } from '../command.js';
import { counted } from '../format-text.js';
import { hasErrors, listedProblem, problemCounts, problemLines } from '../problem-text.js';
import { startServer } from '../processes.js';
import { resolveRecipe } from '../recipe-file.js';

export const checkCommand: Command = {
  name: 'check',
  synopsis: 'RECIPE…',
  summary: 'Tell what is wrong with recipes, before any weight is read.',
  description: `Each problem is printed with its place, what to do, and the recipe line. With --json: an array of
{file, code, severity, message, range}; range counts lines and characters from zero, as LSP does.
Exits with 1 when a problem of severity error is among them.`,
  operands: { least: 1, most: Infinity },
  options: recipeOptions,
  run: async (invocation, terminal) => {
    const server = await startServer();
    try {
      const recipes = [];
      for (const file of invocation.operands) recipes.push(await resolveRecipe(server, file, invocation));
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
