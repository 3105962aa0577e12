// The sensitivity heatmap in a webview: the page is a pure function of the analysis folder and of what the server says of the recipe; its wishes become previewed edits of the recipe.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import type { LayerRulesResult, RecipeRule } from '../../../schemas/src/protocol/client-server.js';
import { readFromWebview, type FromWebview, type SensitivityPage, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { SENSITIVITY_VIEW } from '../manifest.js';
import {
  applyBits,
  assignScheme,
  editLayers,
  editorOf,
  recipeOf,
  revealRule,
  type EditParts,
  type ShownAnalysis,
} from './analysis-edits.js';
import { saveFile } from './save-file.js';
import { webviewPage } from './webview-page.js';

export interface SensitivityPanels extends vscode.Disposable {
  /** Shows the analysis of a folder; a panel that shows it already is brought forward and reloaded. */
  open(page: SensitivityPage): Promise<void>;
}

interface Panel extends ShownAnalysis {
  panel: vscode.WebviewPanel;
  timer: NodeJS.Timeout | null;
}

/** Milliseconds after a key press: what the page shows of the recipe may come a little later than the editor's own. */
const delay = 150;

export interface SensitivityPanelParts extends EditParts {
  context: vscode.ExtensionContext;
  log: vscode.LogOutputChannel;
}

export function createSensitivityPanels(parts: SensitivityPanelParts): SensitivityPanels {
  const { context, server, log } = parts;
  const panels = new Map<string, Panel>();

  const post = (shown: Panel, message: ToWebview): Thenable<boolean> => shown.panel.webview.postMessage(message);
  const guard = (what: string, work: Promise<unknown>): void =>
    void work.catch((error: unknown) => {
      log.error(`${what} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      void vscode.window.showErrorMessage(vscode.l10n.t('{0} failed: {1}', what, error instanceof Error ? error.message : String(error)));
    });

  async function sendAnalysis(shown: Panel): Promise<void> {
    const { page } = shown;
    const analysis = JSON.parse(await readFile(path.join(page.folder, 'sensitivity.json'), 'utf8')) as SensitivityAnalysis;
    const recipeName = vscode.workspace.asRelativePath(vscode.Uri.parse(page.recipe, true));
    await post(shown, { kind: 'show-analysis', analysis, recipeName, saved: page });
    await sendRules(shown);
  }

  async function sendRules(shown: Panel): Promise<void> {
    const document = await recipeOf(shown.page);
    const rules = await server.layerRules({ uri: document.uri.toString(), text: document.getText() });
    // While a key is half a word, what was known before says more.
    if (rules.layers.length > 0 || shown.rules === null) {
      shown.rules = rules;
      await post(shown, { kind: 'show-rules', rules });
    }
    await sendHighlight(shown, editorOf(shown.page));
  }

  async function sendHighlight(shown: Panel, editor: vscode.TextEditor | undefined): Promise<void> {
    if (editor === undefined || shown.rules === null) return;
    await post(shown, { kind: 'highlight-layers', layers: layersAt(shown.rules, editor.selection.active) });
  }

  function receive(shown: Panel, message: FromWebview): Promise<void> | void {
    switch (message.kind) {
      case 'ready':
        return sendAnalysis(shown);
      case 'edit-layers':
        return editLayers(parts, shown, message.edits);
      case 'assign-scheme':
        return assignScheme(parts, shown, message.layers);
      case 'apply-bits':
        return applyBits(parts, shown, message.bits);
      case 'reveal-rule':
        return revealRule(shown, message.layer);
      case 'save-file':
        return saveFile(shown.page.folder, message);
      case 'page-error':
        return log.error(`The sensitivity page failed: ${message.message}`);
      default:
        return log.warn(`The sensitivity page sent ${message.kind}, which it has no part in.`);
    }
  }

  function adopt(panel: vscode.WebviewPanel, page: SensitivityPage): void {
    const shown: Panel = { page, panel, rules: null, timer: null };
    panels.set(page.folder, shown);
    panel.onDidDispose(() => {
      if (shown.timer !== null) clearTimeout(shown.timer);
      panels.delete(page.folder);
    });
    panel.webview.onDidReceiveMessage((value: unknown) => {
      const message = readFromWebview(value);
      if (message === null) log.warn('The sensitivity page sent what is no message of it.');
      else guard(vscode.l10n.t('The sensitivity page'), Promise.resolve(receive(shown, message)));
    });
    panel.webview.options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews')] };
    panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'sensitivity', panel.title, false);
  }

  const changed = vscode.workspace.onDidChangeTextDocument(({ document }) => {
    for (const shown of panels.values()) {
      if (shown.page.recipe !== document.uri.toString()) continue;
      if (shown.timer !== null) clearTimeout(shown.timer);
      shown.timer = setTimeout(() => guard(vscode.l10n.t('Reading the recipe'), sendRules(shown)), delay);
    }
  });
  const moved = vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => {
    for (const shown of panels.values())
      if (shown.page.recipe === textEditor.document.uri.toString())
        guard(vscode.l10n.t('Following the cursor'), sendHighlight(shown, textEditor));
  });
  const serializer = vscode.window.registerWebviewPanelSerializer(SENSITIVITY_VIEW, {
    deserializeWebviewPanel(panel, state: unknown) {
      const page = pageOf(state);
      if (page === null) panel.dispose();
      else adopt(panel, page);
      return Promise.resolve();
    },
  });

  return {
    async open(page) {
      const known = panels.get(page.folder);
      if (known !== undefined) {
        known.page = page;
        known.panel.reveal();
        return sendAnalysis(known);
      }
      const title = vscode.l10n.t('Sensitivity: {0}', path.basename(page.folder).replace(/\.analysis$/, ''));
      const column = vscode.window.activeTextEditor === undefined ? vscode.ViewColumn.Active : vscode.ViewColumn.Beside;
      adopt(vscode.window.createWebviewPanel(SENSITIVITY_VIEW, title, column, {}), page);
    },
    dispose() {
      for (const disposable of [changed, moved, serializer, ...[...panels.values()].map(({ panel }) => panel)]) disposable.dispose();
    },
  };
}

/** What a page has kept over a reload of the window; null where it has kept nothing. */
function pageOf(state: unknown): SensitivityPage | null {
  const saved = (state as { saved?: unknown } | null | undefined)?.saved as Partial<SensitivityPage> | null | undefined;
  return typeof saved?.folder === 'string' && typeof saved.recipe === 'string' ? { folder: saved.folder, recipe: saved.recipe } : null;
}

/** Layers whose rule the cursor stands in; where it stands in none, those of the rules around it. */
function layersAt({ rules, layers }: LayerRulesResult, cursor: vscode.Position): string[] {
  const holds = ({ start, end }: RecipeRule['range']): boolean =>
    new vscode.Range(start.line, start.character, end.line, end.character).contains(cursor);
  const entries = rules.flatMap(({ range }, index) => (holds(range) ? [index] : []));
  const named = new Set(entries.length > 0 ? entries : rules.flatMap(({ around }, index) => (holds(around) ? [index] : [])));
  return layers.flatMap(({ name, rule }) => (rule !== null && named.has(rule) ? [name] : []));
}
