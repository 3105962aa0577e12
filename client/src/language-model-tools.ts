// What a language model may ask in a chat: check, plan, analyze and suggest, as the command line answers. Nothing of it writes a recipe, and nothing runs in a workspace that is not trusted.
import { existsSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { runCommandLine, settingOptions, type RecipeCommand } from './command-line.js';
import { languageModelTools } from './manifest.js';

/** Longer answers cost more than they tell. */
const longestAnswer = 12_000;
const longestEnd = 2_000;
/** How far the work was tells nothing when it is done. */
const progressLine = /^ {0,2}\d{1,3} % {2}.*\n/gm;

type ToolName = keyof typeof languageModelTools;
interface ToolInput {
  recipe?: unknown;
  budget?: unknown;
}

export function registerLanguageModelTools(context: vscode.ExtensionContext): vscode.Disposable {
  const tools = Object.keys(languageModelTools) as ToolName[];
  return vscode.Disposable.from(...tools.map((name) => vscode.lm.registerTool(languageModelTools[name], toolOf(context, name))));
}

const toolOf = (context: vscode.ExtensionContext, command: ToolName): vscode.LanguageModelTool<ToolInput> => ({
  prepareInvocation({ input }) {
    const { recipe } = readInput(command, input);
    const name = vscode.workspace.asRelativePath(recipe);
    if (command !== 'analyze') return { invocationMessage: vscode.l10n.t('Bitwright: {0} {1}', command, name) };
    return {
      invocationMessage: vscode.l10n.t('Measuring how sensitive the layers of {0} are', name),
      confirmationMessages: {
        title: vscode.l10n.t('Analyze {0}?', name),
        message: vscode.l10n.t(
          'Every layer of the model is quantized alone with 2, 3, 4 and 8 bits and measured. This may take minutes to hours on this machine, and writes the folder of the analysis beside the output.',
        ),
      },
    };
  },
  async invoke({ input }, token) {
    const { recipe, options, folder } = readInput(command, input);
    const abort = new AbortController();
    const cancelled = token.onCancellationRequested(() => abort.abort());
    let text = '';
    try {
      const code = await runCommandLine(context, {
        args: [command, ...settingOptions(command, recipe), ...options, '--', path.relative(folder, recipe.fsPath)],
        cwd: folder,
        onText: (more) => (text += more),
        signal: abort.signal,
      });
      return new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart(answerOf(text, code, recipe))]);
    } finally {
      cancelled.dispose();
    }
  },
});

function answerOf(text: string, code: number | null, recipe: vscode.Uri): string {
  const document = vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === recipe.toString());
  const unsaved = document?.isDirty === true ? 'The recipe has changes that are not saved; this is about the file on disk.\n' : '';
  const said = text.replace(progressLine, '');
  const more = said.length - longestAnswer;
  // What was found in sum, and where it is, stands at the end.
  const cut = more > 0 ? `${said.slice(0, -longestEnd - more)}\n… ${more} characters left out …\n${said.slice(-longestEnd)}` : said;
  return `${unsaved}${cut}Exit code ${code ?? 'none: it was ended'}.`;
}

/** Throws a sentence that the model can act on. */
function readInput(command: ToolName, { recipe, budget }: ToolInput): { recipe: vscode.Uri; options: string[]; folder: string } {
  if (!vscode.workspace.isTrusted) throw new Error('The workspace is not trusted: Bitwright runs nothing in it. Its user can trust it.');
  if (typeof recipe !== 'string' || !/\.quant\.ya?ml$/.test(recipe))
    throw new Error('recipe must be the path of a file named *.quant.yaml in the workspace.');
  const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file').map(({ uri }) => uri.fsPath);
  const places = folders.map((folder) => ({ folder, file: path.resolve(folder, recipe) }));
  const inside = places.filter(({ folder, file }) => file.startsWith(folder + path.sep));
  const place = inside.find(({ file }) => existsSync(file)) ?? inside[0];
  if (place === undefined) throw new Error(`${recipe} is not in a folder of this workspace.`);
  if (!existsSync(place.file)) throw new Error(`There is no file ${place.file}.`);
  const options: string[] = [];
  if (command === ('suggest' satisfies RecipeCommand)) {
    if (typeof budget !== 'string' || !/^\d+(\.\d+)?\s*(bpw|[kMGT]i?B)$/.test(budget))
      throw new Error('budget must be bits per weight, such as 4.25bpw, or bytes, such as 300MB.');
    options.push(`--budget=${budget}`);
  }
  return { recipe: vscode.Uri.file(place.file), options, folder: place.folder };
}
