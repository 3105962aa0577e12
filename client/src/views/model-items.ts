// A row of the model explorer: its words, its icon and the layers that it stands for.
import * as vscode from 'vscode';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { describeNode, outcomeOf, type LayersInForce, type ModelNode } from '../model-nodes.js';
import type { ShownModel } from './shown-model.js';

export interface ModelItem {
  shown: ShownModel;
  node: ModelNode;
  parent: ModelItem | null;
}

/** The layers of an item; of a tensor that is none its own name, so that the refusal can name it. */
export const namesIn = ({ node }: ModelItem): string[] => (node.layers.length > 0 ? node.layers : node.tensor === null ? [] : [node.name]);

export function modelItem({ shown, node }: ModelItem): vscode.TreeItem {
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

export function nodeItem({ shown, node, parent }: ModelItem, isFiltered: boolean): vscode.TreeItem {
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
