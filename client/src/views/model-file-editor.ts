// The read-only editor of .safetensors, .gguf and .onnx files: the header at once, whatever the size of the file; numbers of one tensor when they are asked for.
import path from 'node:path';
import * as vscode from 'vscode';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { formatOf, readModelFile } from '../../../schemas/src/model/model-file.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { HeaderError, readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { whyNoFile } from '../../../schemas/src/model/unreadable.js';
import { readFromModelFilePage, type FromModelFilePage, type ToModelFilePage } from '../../../schemas/src/protocol/model-file-page.js';
import type { ActiveRecipe } from '../active-recipe.js';
import type { Addition } from '../commands/add-to-recipe.js';
import { MODEL_FILE_VIEW } from '../manifest.js';
import type { TensorInspector } from '../tensor-inspector.js';
import { saveFile } from './save-file.js';
import { webviewPage } from './webview-page.js';

export interface ModelFileParts {
  context: vscode.ExtensionContext;
  log: vscode.LogOutputChannel;
  recipe: ActiveRecipe;
  inspector: TensorInspector;
  add(addition: Addition): Promise<void>;
}

export function registerModelFileEditor(parts: ModelFileParts): vscode.Disposable {
  return vscode.window.registerCustomEditorProvider(
    MODEL_FILE_VIEW,
    {
      openCustomDocument: (uri) => ({ uri, dispose: () => undefined }),
      resolveCustomEditor: ({ uri }, panel) => showModelFile(parts, uri, panel),
    },
    { supportsMultipleEditorsPerDocument: true },
  );
}

function showModelFile({ context, log, recipe, inspector, add }: ModelFileParts, uri: vscode.Uri, panel: vscode.WebviewPanel): void {
  const name = path.posix.basename(uri.path);
  const send = (message: ToModelFilePage): void => void panel.webview.postMessage(message);
  const recipeName = (): string | null => (recipe.document === null ? null : vscode.workspace.asRelativePath(recipe.document.uri));
  const show = async (): Promise<void> => {
    try {
      const file = await readModelFile(filesOf(uri), uri.fsPath, name);
      send({ kind: 'show-file', name, file, whyNoStatistics: whyNoStatistics(name), recipe: recipeName() });
    } catch (error) {
      send({ kind: 'show-unreadable', name, message: unreadableText(uri, name, error) });
    }
  };
  const receive = async (message: FromModelFilePage): Promise<void> => {
    switch (message.kind) {
      case 'ready':
        return show();
      case 'inspect':
        return send({ ...message, kind: 'show-statistics', answer: await statisticsOf(inspector, uri, message) });
      case 'add-to-recipe':
        return add({ names: message.tensors, to: message.to });
      case 'save-file':
        return saveFile(path.dirname(uri.fsPath), message);
      case 'page-error':
        log.error(`The page of ${name} failed: ${message.message}`);
    }
  };
  const watcher = vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(vscode.Uri.joinPath(uri, '..'), globOf(name)));
  const showAgain = (): void => void show();
  const subscriptions = [
    watcher,
    watcher.onDidChange(showAgain),
    watcher.onDidCreate(showAgain),
    watcher.onDidDelete(showAgain),
    recipe.onDidChange(() => send({ kind: 'show-recipe', recipe: recipeName() })),
    vscode.workspace.onDidGrantWorkspaceTrust(showAgain),
    panel.webview.onDidReceiveMessage((value: unknown) => {
      const message = readFromModelFilePage(value);
      if (message === null) return log.warn(`The page of ${name} sent what is no message of it.`);
      receive(message).catch((error: unknown) => log.error(`The message ${message.kind} of ${name} failed: ${String(error)}`));
    }),
  ];
  panel.onDidDispose(() => subscriptions.forEach((subscription) => void subscription.dispose()));
  panel.webview.options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews')] };
  panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'model-file', 'Model File', false);
}

/** The name as a pattern that fits it alone. */
const globOf = (name: string): string => name.replace(/[[\]{}*?]/g, '?');

function filesOf(uri: vscode.Uri): typeof nodeFiles {
  if (uri.scheme === 'file') return nodeFiles;
  throw new Error(vscode.l10n.t('it is not on the disk of this machine ({0}:)', uri.scheme));
}

function unreadableText(uri: vscode.Uri, name: string, error: unknown): string {
  if (error instanceof HeaderError)
    return vscode.l10n.t('{0} is not a sound {1} file: {2}. Download or export it again.', name, formatOf(name) ?? '', error.detail);
  return whyNoFile(uri.fsPath, error);
}

function whyNoStatistics(name: string): string | null {
  const format = formatOf(name);
  if (format !== 'safetensors')
    return vscode.l10n.t('Statistics of {0} tensors cannot be computed yet: weights are read from safetensors files alone.', format ?? '');
  return vscode.workspace.isTrusted
    ? null
    : vscode.l10n.t(
        'Statistics are off in a workspace that is not trusted: a native process reads the weights. Trust the workspace to see them.',
      );
}

type Answer = Extract<ToModelFilePage, { kind: 'show-statistics' }>['answer'];

type Question = Pick<Extract<FromModelFilePage, { kind: 'inspect' }>, 'tensor' | 'channel'>;

async function statisticsOf(inspector: TensorInspector, uri: vscode.Uri, { tensor, channel }: Question): Promise<Answer> {
  const name = path.posix.basename(uri.path);
  const reason = whyNoStatistics(name);
  if (reason !== null) return { message: reason };
  try {
    const answer = await inspector.inspect(await modelOfFile(uri.fsPath, tensor), tensor, channel);
    return 'failure' in answer ? { message: answer.failure.message } : answer;
  } catch (error) {
    return { message: unreadableText(uri, name, error) };
  }
}

/** One tensor of one file, as the worker knows models: what stands beside the file does not matter for it. */
async function modelOfFile(file: string, tensor: string): Promise<ModelDescription> {
  const name = path.basename(file);
  const { tensors, size, sha256 } = await readSafetensorsHeader(nodeFiles, file, name);
  return {
    dir: path.dirname(file),
    model_type: null,
    architecture_name: null,
    architecture: null,
    dtype: 'F32',
    files: [{ name, size, header_sha256: sha256 }],
    tensors: tensors.filter((entry) => entry.name === tensor),
    modules: {},
    side_files: [],
    bos_token_id: null,
    eos_token_id: [],
    quantization: null,
  };
}
