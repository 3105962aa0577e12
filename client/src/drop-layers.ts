// Layers dropped onto a recipe, from the model explorer or the table of a model file: onto ignore they are ignored, elsewhere they become targets; the other is one click away.
import path from 'node:path';
import * as vscode from 'vscode';
import type { LayerEdit, RecipeModelResult } from '../../schemas/src/protocol/client-server.js';
import { LAYERS_MIME } from '../../schemas/src/protocol/model-file-page.js';
import { changeOf, commonScheme } from './commands/add-to-recipe.js';
import { LANGUAGE_ID } from './manifest.js';
import { layersOfTensors } from './model-nodes.js';
import type { ServerClient } from './server-client.js';

const kind = vscode.DocumentDropOrPasteEditKind.Empty.append('bitwright', 'layers');

export function registerLayerDrop(server: ServerClient): vscode.Disposable {
  return vscode.languages.registerDocumentDropEditProvider(
    { language: LANGUAGE_ID },
    {
      async provideDocumentDropEdits(document, position, transfer) {
        const names = namesOf(await transfer.get(LAYERS_MIME)?.asString());
        return names.length === 0 ? undefined : dropEdits(server, document, position, names);
      },
    },
    { dropMimeTypes: [LAYERS_MIME], providedDropEditKinds: [kind] },
  );
}

/** What is no list of names was dragged by someone else. */
function namesOf(text: string | undefined): string[] {
  if (text === undefined) return [];
  try {
    const value = JSON.parse(text) as unknown;
    return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

async function dropEdits(
  server: ServerClient,
  document: vscode.TextDocument,
  position: vscode.Position,
  names: readonly string[],
): Promise<vscode.DocumentDropEdit[]> {
  const [uri, text] = [document.uri.toString(), document.getText()];
  const known = await server.recipeModel({ uri, text });
  const layers = layersOfTensors(names, new Set(known.layers.map(({ name }) => name))).map((name) => ({ name, reason: '' }));
  const scheme = commonScheme(known.layers);
  const wanted: { title: string; to: LayerEdit['to'] }[] = [
    ...(scheme === null ? [] : [{ title: vscode.l10n.t('Add to targets as {0}', scheme.scheme), to: { num_bits: scheme.num_bits } }]),
    { title: vscode.l10n.t('Add to ignore'), to: { ignore: true } },
  ];
  if (isInIgnore(known, document, position)) wanted.reverse();
  const edits: vscode.DocumentDropEdit[] = [];
  const reasons: string[] = layers.length === 0 ? [known.reason ?? vscode.l10n.t('Its model has no such layer.')] : [];
  for (const { title, to } of layers.length === 0 ? [] : wanted) {
    const answer = await server.editLayers({ uri, text, edits: [{ layers, to }] });
    if ('reason' in answer) reasons.push(answer.reason);
    else if (answer.text !== text) {
      const edit = new vscode.DocumentDropEdit('', title, kind);
      const change = changeOf(document, text, answer.text);
      edit.additionalEdit = new vscode.WorkspaceEdit();
      edit.additionalEdit.replace(document.uri, change.range, change.text);
      edits.push(edit);
    }
  }
  const [reason] = reasons;
  if (edits.length === 0 && reason !== undefined)
    void vscode.window.showErrorMessage(vscode.l10n.t('Layers cannot be added to {0}: {1}', path.basename(document.uri.path), reason));
  return edits;
}

/** On the lines of an ignore list, be it empty. */
function isInIgnore({ rules }: RecipeModelResult, document: vscode.TextDocument, { line }: vscode.Position): boolean {
  if (rules.some(({ kind: of, around }) => of === 'ignore' && around.start.line <= line && line <= around.end.line)) return true;
  return /^\s*["']?ignore["']?\s*:/.test(document.lineAt(line).text);
}
