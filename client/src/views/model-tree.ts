// The model explorer: the model of the recipe in front with what the recipe makes of each layer, and models opened by hand, as a tree from which layers go into the recipe.
import path from 'node:path';
import * as vscode from 'vscode';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { formatOf, readModelFile } from '../../../schemas/src/model/model-file.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readNameFilter } from '../../../schemas/src/name-filter.js';
import { LAYERS_MIME } from '../../../schemas/src/protocol/model-file-page.js';
import type { ActiveRecipe } from '../active-recipe.js';
import { contextKeys, MODEL_FILE_VIEW, views } from '../manifest.js';
import { describeNode, modelNodes, outcomeOf, type LayersInForce, type ModelNode } from '../model-nodes.js';
import type { ServerClient } from '../server-client.js';

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

/** A model and where its files are. */
interface ShownModel {
  id: string;
  title: string;
  /** Folder of the files that its tensors name. */
  dir: string;
  tensors: Parameters<typeof modelNodes>[0] | null;
  /** Why there are no tensors. */
  reason: string | null;
  inForce: LayersInForce | null;
  isOpened: boolean;
}

export interface ModelItem {
  shown: ShownModel;
  node: ModelNode;
  parent: ModelItem | null;
}

const openedKey = 'openedModels';
const editDelay = 400;

export function createModelTree(context: vscode.ExtensionContext, server: ServerClient, recipe: ActiveRecipe): ModelTree {
  const changed = new vscode.EventEmitter<void>();
  let ofRecipe: ShownModel | null = null;
  let known: { id: string; model: ModelDescription } | null = null;
  let opened: ShownModel[] = [];
  let filterText = '';
  let asked = 0;
  let timer: NodeJS.Timeout | undefined;

  const rootOf = (shown: ShownModel): ModelItem => {
    const filter = readNameFilter(filterText);
    const fits = 'error' in filter ? undefined : filter.fits;
    return { shown, node: modelNodes(shown.tensors ?? { tensors: [], modules: {} }, fits), parent: null };
  };
  const provider: vscode.TreeDataProvider<ModelItem> = {
    onDidChangeTreeData: changed.event,
    getChildren: (item) =>
      item === undefined
        ? [...(ofRecipe === null ? [] : [ofRecipe]), ...opened].map(rootOf)
        : item.node.children.map((node) => ({ shown: item.shown, node, parent: item })),
    getParent: (item) => item.parent,
    getTreeItem: (item) => (item.parent === null ? modelItem(item) : nodeItem(item, filterText !== '')),
  };
  const view = vscode.window.createTreeView(views.model, {
    treeDataProvider: provider,
    showCollapseAll: true,
    canSelectMany: true,
    dragAndDropController: {
      dropMimeTypes: [],
      dragMimeTypes: [LAYERS_MIME],
      handleDrag: (items, transfer) => {
        const names = [...new Set(items.flatMap(namesIn))];
        if (names.length > 0) transfer.set(LAYERS_MIME, new vscode.DataTransferItem(JSON.stringify(names)));
      },
    },
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

  async function modelOfRecipe(document: vscode.TextDocument): Promise<ShownModel> {
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
  }

  async function readOpened(file: string): Promise<ShownModel> {
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

  const keepOpened = (): void => {
    void context.workspaceState.update(
      openedKey,
      opened.map(({ id }) => id),
    );
    changed.fire();
  };
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
  const restored = Promise.all(context.workspaceState.get<string[]>(openedKey, []).map(readOpened)).then((found) => {
    opened = [...found, ...opened];
    if (found.length > 0) changed.fire();
  });
  void refresh();

  return {
    async open(uri) {
      await restored;
      const [picked] = uri === undefined ? ((await vscode.window.showOpenDialog(folderDialog())) ?? []) : [uri];
      if (picked === undefined) return;
      const shown = await readOpened(picked.fsPath);
      opened = [...opened.filter(({ id }) => id !== shown.id), shown];
      keepOpened();
      await vscode.commands.executeCommand(`${views.model}.focus`);
    },
    close({ shown }) {
      opened = opened.filter(({ id }) => id !== shown.id);
      keepOpened();
    },
    async openFile({ shown, node }) {
      if (node.tensor === null) return;
      await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(path.join(shown.dir, node.tensor.file)), MODEL_FILE_VIEW);
    },
    async filter() {
      const text = await vscode.window.showInputBox({
        value: filterText,
        prompt: vscode.l10n.t('Words that names of tensors hold, or an expression between slashes, such as /layers\\.[0-3]\\./'),
        validateInput: (typed) => {
          const filter = readNameFilter(typed);
          return 'error' in filter ? filter.error : null;
        },
      });
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

const folderDialog = (): vscode.OpenDialogOptions => ({
  canSelectFiles: false,
  canSelectFolders: true,
  openLabel: vscode.l10n.t('Open Model'),
  title: vscode.l10n.t('Folder of a Model'),
});

/** The layers of an item; of a tensor that is none its own name, so that the refusal can name it. */
const namesIn = ({ node }: ModelItem): string[] => (node.layers.length > 0 ? node.layers : node.tensor === null ? [] : [node.name]);

function modelItem({ shown, node }: ModelItem): vscode.TreeItem {
  const item = new vscode.TreeItem(shown.title, vscode.TreeItemCollapsibleState.Expanded);
  item.id = shown.id;
  item.contextValue = shown.isOpened ? 'opened-model' : 'recipe-model';
  if (shown.tensors === null) {
    item.collapsibleState = vscode.TreeItemCollapsibleState.None;
    item.iconPath = new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'));
    item.description = shown.reason ?? '';
    item.tooltip = shown.reason ?? '';
    return item;
  }
  item.iconPath = new vscode.ThemeIcon('package');
  item.description = vscode.l10n.t('{0} tensors, {1}', node.n_tensors, bytesText(node.bytes));
  item.tooltip = shown.dir;
  return item;
}

function nodeItem({ shown, node, parent }: ModelItem, isFiltered: boolean): vscode.TreeItem {
  const { Collapsed, Expanded, None } = vscode.TreeItemCollapsibleState;
  // The blocks of a model are what one looks for; their insides are many.
  const opens = isFiltered || (parent?.parent === null && node.children.length < 12);
  const item = new vscode.TreeItem(node.label, node.children.length === 0 ? None : opens ? Expanded : Collapsed);
  item.id = `${shown.id} ${node.name} ${node.label}${isFiltered ? ' filtered' : ''}`;
  item.description = describeNode(node, shown.inForce);
  item.tooltip = tooltipOf(node, shown.inForce);
  item.accessibilityInformation = { label: `${node.label}, ${item.description}` };
  const outcome = node.layers.length === 1 ? outcomeOf(node.layers[0] ?? '', shown.inForce) : null;
  const icon =
    node.tensor === null && node.n_tensors > 0
      ? 'symbol-module'
      : outcome === 'ignored'
        ? 'circle-slash'
        : outcome === null || outcome === 'kept'
          ? 'symbol-field'
          : 'symbol-numeric';
  item.iconPath = new vscode.ThemeIcon(icon);
  item.contextValue = [...(node.layers.length > 0 && !shown.isOpened ? ['layers'] : []), ...(node.tensor === null ? [] : ['tensor'])].join(
    ' ',
  );
  return item;
}

/** Plain text: names are data. */
function tooltipOf(node: ModelNode, inForce: LayersInForce | null): string {
  const [name] = node.layers;
  const layer = name === undefined || node.layers.length > 1 ? undefined : inForce?.layers.get(name);
  const rule = layer === undefined || layer.rule === null ? undefined : inForce?.rules[layer.rule];
  return [
    node.name,
    describeNode(node, inForce),
    ...(rule === undefined ? [] : [vscode.l10n.t('by {0} in {1}', rule.entry, rule.where)]),
    ...(node.tensor === null ? [] : [node.tensor.file]),
  ].join('\n');
}
