// A model that the model explorer shows: the one of a recipe, with what the recipe makes of each layer, or one that was opened by hand.
import path from 'node:path';
import type * as vscode from 'vscode';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { LayersInForce, NamedTensors } from '../model-nodes.js';
import type { ServerClient } from '../server-client.js';

/** A model and where its files are. */
export interface ShownModel {
  id: string;
  title: string;
  /** Folder of the files that its tensors name. */
  dir: string;
  tensors: NamedTensors | null;
  /** Why there are no tensors. */
  reason: string | null;
  inForce: LayersInForce | null;
  isOpened: boolean;
}

/** The model of a recipe as it stands; the server describes it once and then names it. */
export function recipeModels(server: ServerClient): (document: vscode.TextDocument) => Promise<ShownModel> {
  let known: { id: string; model: ModelDescription } | null = null;
  return async (document) => {
    const answer = await server.recipeModel({
      uri: document.uri.toString(),
      text: document.getText(),
      ...(known === null ? {} : { known: known.id }),
    });
    if (answer.id !== null && answer.model !== null) known = { id: answer.id, model: answer.model };
    const model = known !== null && known.id === answer.id ? known.model : null;
    return {
      id: 'recipe',
      title: model === null ? path.posix.basename(document.uri.path) : path.basename(model.dir),
      dir: model?.dir ?? '',
      tensors: model,
      reason: answer.reason,
      inForce: { layers: new Map(answer.layers.map((layer) => [layer.name, layer])), rules: answer.rules },
      isOpened: false,
    };
  };
}
