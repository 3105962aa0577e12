// Tasks: check, analyze or quantize a recipe of the workspace in a terminal of its own. The problem matcher of package.json reads the lines of the command line.
import path from 'node:path';
import * as vscode from 'vscode';
import { runCommandLine, settingOptions } from './command-line.js';
import { RECIPE_GLOB, TASK_PROBLEM_MATCHER, TASK_TYPE } from './manifest.js';

const taskNames = ['check', 'analyze', 'quantize'] as const;
type TaskName = (typeof taskNames)[number];

interface RecipeTaskDefinition extends vscode.TaskDefinition {
  task: TaskName;
  /** Relative to the workspace folder, or absolute. */
  recipe: string;
}

/** A definition may come from a file that someone wrote. */
const isDefinition = (definition: vscode.TaskDefinition): definition is RecipeTaskDefinition =>
  taskNames.some((name) => name === definition['task']) && typeof definition['recipe'] === 'string';

export function registerTasks(context: vscode.ExtensionContext): vscode.Disposable {
  const taskOf = (definition: RecipeTaskDefinition, scope: vscode.WorkspaceFolder): vscode.Task => {
    const execution = new vscode.CustomExecution(async () => createTerminal(context, definition, scope));
    const task = new vscode.Task(definition, scope, `${definition.task} ${definition.recipe}`, 'Bitwright', execution, [
      TASK_PROBLEM_MATCHER,
    ]);
    if (definition.task === 'quantize') task.group = vscode.TaskGroup.Build;
    task.presentationOptions = { clear: true, panel: vscode.TaskPanelKind.Dedicated };
    return task;
  };
  return vscode.tasks.registerTaskProvider(TASK_TYPE, {
    async provideTasks() {
      const found = await vscode.workspace.findFiles(RECIPE_GLOB, '**/node_modules/**', 500);
      return found
        .sort((a, b) => (a.path < b.path ? -1 : 1))
        .flatMap((uri) => {
          const folder = vscode.workspace.getWorkspaceFolder(uri);
          if (folder === undefined || uri.scheme !== 'file') return [];
          const recipe = path.relative(folder.uri.fsPath, uri.fsPath);
          return taskNames.map((task) => taskOf({ type: TASK_TYPE, task, recipe }, folder));
        });
    },
    resolveTask({ definition, scope }) {
      if (!isDefinition(definition)) return undefined;
      const folder = typeof scope === 'object' ? scope : vscode.workspace.workspaceFolders?.[0];
      return folder?.uri.scheme === 'file' ? taskOf(definition, folder) : undefined;
    },
  });
}

function createTerminal(
  context: vscode.ExtensionContext,
  { task, recipe }: RecipeTaskDefinition,
  folder: vscode.WorkspaceFolder,
): vscode.Pseudoterminal {
  const written = new vscode.EventEmitter<string>();
  const closed = new vscode.EventEmitter<number>();
  const abort = new AbortController();
  const cwd = folder.uri.fsPath;
  return {
    onDidWrite: written.event,
    onDidClose: closed.event,
    open: () => {
      const args = [task, ...settingOptions(task, vscode.Uri.file(path.resolve(cwd, recipe))), '--', recipe];
      written.fire(`bitwright ${args.join(' ')}\r\n`);
      runCommandLine(context, { args, cwd, onText: (text) => written.fire(text.replace(/\r?\n/g, '\r\n')), signal: abort.signal }).then(
        (code) => closed.fire(code ?? 1),
        (error: unknown) => {
          written.fire(`${String(error)}\r\n`);
          closed.fire(1);
        },
      );
    },
    // Ctrl-C in the terminal, and the command that terminates a task.
    handleInput: (data) => {
      if (data === '\x03') abort.abort();
    },
    close: () => abort.abort(),
  };
}
