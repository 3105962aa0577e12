// Add to Targets, Add to Ignore: the server writes the recipe with the layers added, and the editor shows it; one step undoes it.
import path from 'node:path';
import * as vscode from 'vscode';
import type { EditLayersResult, LayerEdit, LayerInForce, RecipeModelResult } from '../../../schemas/src/protocol/client-server.js';
import type { RecipeList } from '../../../schemas/src/protocol/model-file-page.js';
import { layersOfTensors } from '../model-nodes.js';
import type { ServerClient } from '../server-client.js';

/** Tensors or layers by name. */
export interface Addition {
  names: readonly string[];
  to: RecipeList;
}

export async function addToRecipe(server: ServerClient, recipe: vscode.TextDocument | null, addition: Addition): Promise<void> {
  if (recipe === null) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Open a recipe first: layers are added to the recipe that was last in front.'));
    return;
  }
  const uri = recipe.uri.toString();
  const text = recipe.getText();
  const known = await server.recipeModel({ uri, text });
  const target = await editOf(known, addition, path.basename(recipe.uri.path));
  if (target === null) return;
  const answer = await server.editLayers({ uri, text, edits: [target] });
  await applyAnswer(recipe, text, answer, addition.to, target.layers.length);
}

/** null after the user was told why there is none, or chose no scheme. */
async function editOf(known: RecipeModelResult, { names, to }: Addition, recipe: string): Promise<LayerEdit | null> {
  if (known.id === null) {
    void vscode.window.showErrorMessage(vscode.l10n.t('Layers cannot be added to {0}: {1}', recipe, known.reason ?? ''));
    return null;
  }
  const layers = layersOfTensors(names, new Set(known.layers.map(({ name }) => name))).map((name) => ({ name, reason: '' }));
  const [first] = names;
  if (layers.length === 0) {
    void vscode.window.showErrorMessage(
      vscode.l10n.t('{0} belongs to no layer of the model of {1} that can be quantized, so nothing was changed.', first ?? '', recipe),
    );
    return null;
  }
  if (to === 'ignore') return { layers, to: { ignore: true } };
  const choice = await askScheme(known, layers.length);
  return choice === null ? null : { layers, to: choice };
}

/** First what the recipe has already, then every preset. */
async function askScheme({ layers, presets }: RecipeModelResult, n_layers: number): Promise<LayerEdit['to'] | null> {
  const most = commonScheme(layers);
  const items: (vscode.QuickPickItem & { to?: LayerEdit['to'] })[] = [
    ...(most === null
      ? []
      : [
          {
            label: most.scheme,
            description: vscode.l10n.t('as {0} layers of the recipe have it', most.n),
            to: { num_bits: most.num_bits },
          },
          { label: '', kind: vscode.QuickPickItemKind.Separator },
        ]),
    ...presets.map(({ name, description }) => ({ label: name, description, to: { scheme: name } })),
  ];
  const placeHolder =
    n_layers === 1 ? vscode.l10n.t('Which scheme does the layer get?') : vscode.l10n.t('Which scheme do the {0} layers get?', n_layers);
  const choice = await vscode.window.showQuickPick(items, { placeHolder, matchOnDescription: true });
  return choice?.to ?? null;
}

/** The scheme of whole numbers that most layers have: a layer gets it by its bits alone. */
export function commonScheme(layers: readonly LayerInForce[]): { scheme: string; n: number; num_bits: number } | null {
  const present = new Map<string, { scheme: string; n: number; num_bits: number }>();
  for (const { scheme, num_bits } of layers)
    if (scheme?.startsWith('int') && num_bits !== null) present.set(scheme, { scheme, n: (present.get(scheme)?.n ?? 0) + 1, num_bits });
  return [...present.values()].sort((a, b) => b.n - a.n)[0] ?? null;
}

async function applyAnswer(
  recipe: vscode.TextDocument,
  before: string,
  answer: EditLayersResult,
  to: RecipeList,
  n_layers: number,
): Promise<void> {
  if ('reason' in answer) {
    void vscode.window.showErrorMessage(vscode.l10n.t('The recipe was not changed. {0}', answer.reason));
    return;
  }
  if (recipe.getText() !== before) {
    void vscode.window.showWarningMessage(vscode.l10n.t('The recipe has changed meanwhile, so nothing was written. Try again.'));
    return;
  }
  if (answer.text === before) {
    void vscode.window.showInformationMessage(vscode.l10n.t('The recipe says so already.'));
    return;
  }
  const edit = new vscode.WorkspaceEdit();
  const { range, text } = changeOf(recipe, before, answer.text);
  edit.replace(recipe.uri, range, text);
  if (!(await vscode.workspace.applyEdit(edit))) return;
  const editor = await vscode.window.showTextDocument(recipe, { preserveFocus: true, preview: false });
  editor.revealRange(new vscode.Range(range.start, range.start), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  const [warning] = answer.warnings;
  if (warning !== undefined) void vscode.window.showWarningMessage(warning);
  vscode.window.setStatusBarMessage(
    to === 'ignore' ? vscode.l10n.t('{0} added to ignore', n_layers) : vscode.l10n.t('{0} added to targets', n_layers),
    5000,
  );
}

/** The part that differs, so that cursor and folding elsewhere stay. */
export function changeOf(document: vscode.TextDocument, before: string, after: string): { range: vscode.Range; text: string } {
  const most = Math.min(before.length, after.length);
  let begin = 0;
  while (begin < most && before[begin] === after[begin]) begin += 1;
  let end = 0;
  while (end < most - begin && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const range = new vscode.Range(document.positionAt(begin), document.positionAt(before.length - end));
  return { range, text: after.slice(begin, after.length - end) };
}
