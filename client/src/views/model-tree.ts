// The model explorer: the model of the recipe in front with what the recipe makes of each layer, and models opened by hand, as a tree from which layers go into the recipe.
import path from 'node:path';
import * as vscode from 'vscode';
import { readNameFilter } from '../../../schemas/src/name-filter.js';
import { LAYERS_MIME } from '../../../schemas/src/protocol/model-file-page.js';
import type { ActiveRecipe } from '../active-recipe.js';
import { contextKeys, MODEL_FILE_VIEW, views } from '../manifest.js';
import { keptModelNodes } from '../model-nodes.js';
import type { ServerClient } from '../server-client.js';
import { modelItem, namesIn, nodeItem, type ModelItem } from './model-items.js';
import { openedModels } from './opened-models.js';
import { recipeModels, type ShownModel } from './shown-model.js';

export interface ModelTree extends vscode.Disposable {
  /** A folder, or a file with weights; asks for a folder where none is given. */
  open(uri?: vscode.Uri): Promise<void>;
  close(item: ModelItem): void;
  /** The file that holds a tensor. */
  openFile(item: ModelItem): Promise<void>;
  filter(): Promise<void>;
  clearFilter(): void;
  /** Names of tensors in the item of a command and the other chosen ones. */
  namesOf(item: ModelItem | undefined, chosen: readonly ModelItem[] | undefined): string[];
}

const editDelay = 400;
const noTensors = { tensors: [], modules: {} };

export function createModelTree(context: vscode.ExtensionContext, server: ServerClient, recipe: ActiveRecipe): ModelTree {
  const changed = new vscode.EventEmitter<void>();
  const modelOfRecipe = recipeModels(server);
  const opened = openedModels(context, server, () => changed.fire());
  let ofRecipe: ShownModel | null = null;
  let filterText = '';
  let asked = 0;
  let timer: NodeJS.Timeout | undefined;

  const nodesOf = keptModelNodes();
  const rootOf = (shown: ShownModel): ModelItem => ({ shown, node: nodesOf(shown.tensors ?? noTensors, filterText), parent: null });
  const provider: vscode.TreeDataProvider<ModelItem> = {
    onDidChangeTreeData: changed.event,
    getChildren: (item) =>
      item === undefined
        ? [...(ofRecipe === null ? [] : [ofRecipe]), ...opened.models].map(rootOf)
        : item.node.children.map((node) => ({ shown: item.shown, node, parent: item })),
    getParent: (item) => item.parent,
    getTreeItem: (item) => (item.parent === null ? modelItem(item) : nodeItem(item, filterText !== '')),
  };
  const view = vscode.window.createTreeView(views.model, {
    treeDataProvider: provider,
    showCollapseAll: true,
    canSelectMany: true,
    dragAndDropController: layersAsDragged,
  });

  /** Nothing is asked of the server while nobody looks. */
  async function refresh(): Promise<void> {
    if (!view.visible) return;
    const turn = (asked += 1);
    const { document } = recipe;
    const next = document === null ? null : await modelOfRecipe(document);
    // A later change has been asked about meanwhile.
    if (turn !== asked) return;
    ofRecipe = next;
    changed.fire();
  }

  const setFilter = (text: string): void => {
    filterText = text;
    view.description = text === '' ? '' : vscode.l10n.t('filter: {0}', text);
    void vscode.commands.executeCommand('setContext', contextKeys.modelFiltered, text !== '');
    changed.fire();
  };
  const subscriptions = [
    changed,
    view,
    recipe.onDidChange(() => void refresh()),
    recipe.onDidChangeText(() => {
      clearTimeout(timer);
      timer = setTimeout(() => void refresh(), editDelay);
    }),
    view.onDidChangeVisibility(() => void refresh()),
  ];
  void refresh();

  return {
    async open(uri) {
      const [picked] = uri === undefined ? ((await vscode.window.showOpenDialog(folderDialog())) ?? []) : [uri];
      if (picked === undefined) return;
      await opened.open(picked.fsPath);
      await vscode.commands.executeCommand(`${views.model}.focus`);
    },
    close: ({ shown }) => opened.close(shown.id),
    async openFile({ shown, node }) {
      if (node.tensor === null) return;
      await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(path.join(shown.dir, node.tensor.file)), MODEL_FILE_VIEW);
    },
    async filter() {
      const text = await askFilter(filterText);
      if (text !== undefined) setFilter(text.trim());
    },
    clearFilter: () => setFilter(''),
    namesOf: (item, chosen) => {
      const items = chosen ?? (item === undefined ? view.selection : [item]);
      return [...new Set(items.flatMap(namesIn))];
    },
    dispose() {
      clearTimeout(timer);
      subscriptions.forEach((subscription) => void subscription.dispose());
    },
  };
}

const askFilter = (value: string): Thenable<string | undefined> =>
  vscode.window.showInputBox({
    value,
    prompt: vscode.l10n.t('Words that names of tensors hold, or an expression between slashes, such as /layers\\.[0-3]\\./'),
    validateInput: (typed) => {
      const filter = readNameFilter(typed);
      return 'error' in filter ? filter.error : null;
    },
  });

const layersAsDragged: vscode.TreeDragAndDropController<ModelItem> = {
  dropMimeTypes: [],
  dragMimeTypes: [LAYERS_MIME],
  handleDrag(items, transfer) {
    const names = [...new Set(items.flatMap(namesIn))];
    if (names.length > 0) transfer.set(LAYERS_MIME, new vscode.DataTransferItem(JSON.stringify(names)));
  },
};

const folderDialog = (): vscode.OpenDialogOptions => ({
  canSelectFiles: false,
  canSelectFolders: true,
  openLabel: vscode.l10n.t('Open Model'),
  title: vscode.l10n.t('Folder of a Model'),
});
