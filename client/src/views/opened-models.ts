// Models that were opened by hand in the model explorer; their files are kept with the workspace.
import path from 'node:path';
import type * as vscode from 'vscode';
import { formatOf, readModelFile } from '../../../schemas/src/model/model-file.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import type { ServerClient } from '../server-client.js';
import type { ShownModel } from './shown-model.js';

export interface OpenedModels {
  readonly models: readonly ShownModel[];
  /** A folder, or a file with weights; what is opened already is read again. */
  open(file: string): Promise<void>;
  close(id: string): void;
}

const openedKey = 'openedModels';

export function openedModels(context: vscode.ExtensionContext, server: ServerClient, onDidChange: () => void): OpenedModels {
  let models: ShownModel[] = [];
  const restored = Promise.all(context.workspaceState.get<string[]>(openedKey, []).map((file) => readModel(server, file))).then((found) => {
    models = [...found, ...models];
    if (found.length > 0) onDidChange();
  });
  const set = (next: ShownModel[]): void => {
    models = next;
    void context.workspaceState.update(
      openedKey,
      models.map(({ id }) => id),
    );
    onDidChange();
  };
  return {
    get models() {
      return models;
    },
    async open(file) {
      await restored;
      const shown = await readModel(server, file);
      set([...models.filter(({ id }) => id !== shown.id), shown]);
    },
    close: (id) => set(models.filter((shown) => shown.id !== id)),
  };
}

async function readModel(server: ServerClient, file: string): Promise<ShownModel> {
  const shown = { id: file, title: path.basename(file), inForce: null, isOpened: true };
  if (formatOf(file) === null) {
    const { model, problems } = await server.describeModel({ model: file });
    return { ...shown, dir: file, tensors: model, reason: problems[0]?.message ?? null };
  }
  try {
    const { tensors } = await readModelFile(nodeFiles, file, path.basename(file));
    const named = tensors.map((tensor) => ({
      ...tensor,
      file: path.basename(file),
      bytes: tensor.bytes ?? 0,
      offset: tensor.offset ?? 0,
    }));
    return { ...shown, dir: path.dirname(file), tensors: { tensors: named, modules: {} }, reason: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...shown, dir: path.dirname(file), tensors: null, reason: message };
  }
}
