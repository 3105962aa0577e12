// A change of a recipe that the user sees before it is made: a diff editor of the recipe and the proposal, with Apply and Discard in its title and in a notification. One step undoes it.
import * as vscode from 'vscode';
import { lineEdits } from '../line-edits.js';
import { contextKeys, PROPOSAL_SCHEME } from '../manifest.js';

export interface Proposals extends vscode.Disposable {
  /** Whether the user has accepted it. `before` is what `after` was made from: a recipe that has gone on meanwhile is left alone. */
  propose(document: vscode.TextDocument, before: string, after: string, what: string): Promise<boolean>;
  /** Decides over the proposal that is shown. */
  decide(accept: boolean): void;
}

interface Pending {
  uri: vscode.Uri;
  settle(accept: boolean): void;
}

export function createProposals(): Proposals {
  const texts = new Map<string, string>();
  let pending: Pending | null = null;
  let count = 0;
  const provider = vscode.workspace.registerTextDocumentContentProvider(PROPOSAL_SCHEME, {
    provideTextDocumentContent: (uri) => texts.get(uri.toString()) ?? '',
  });
  const tabsOf = (uri: vscode.Uri): vscode.Tab[] =>
    vscode.window.tabGroups.all
      .flatMap(({ tabs }) => tabs)
      .filter(({ input }) => input instanceof vscode.TabInputTextDiff && input.modified.toString() === uri.toString());
  const closed = vscode.window.tabGroups.onDidChangeTabs(({ closed: gone }) => {
    const { uri } = pending ?? {};
    if (
      uri !== undefined &&
      gone.some(({ input }) => input instanceof vscode.TabInputTextDiff && input.modified.toString() === uri.toString())
    )
      pending?.settle(false);
  });

  async function decision(document: vscode.TextDocument, after: string, what: string): Promise<boolean> {
    // Another proposal takes the place of one that nobody has decided over.
    pending?.settle(false);
    count += 1;
    const uri = vscode.Uri.from({ scheme: PROPOSAL_SCHEME, path: document.uri.path, query: String(count) });
    texts.set(uri.toString(), after);
    let own: Pending | null = null;
    const decided = new Promise<boolean>((resolve) => {
      pending = own = { uri, settle: resolve };
    });
    await vscode.commands.executeCommand('setContext', contextKeys.proposalShown, true);
    const shown = vscode.window.visibleTextEditors.find((editor) => editor.document.uri.toString() === document.uri.toString());
    const title = vscode.l10n.t('{0}: {1}', vscode.workspace.asRelativePath(document.uri), what);
    await vscode.commands.executeCommand('vscode.diff', document.uri, uri, title, {
      viewColumn: shown?.viewColumn ?? vscode.ViewColumn.Beside,
      preview: true,
    });
    const [apply, discard] = [vscode.l10n.t('Apply'), vscode.l10n.t('Discard')];
    void vscode.window.showInformationMessage(vscode.l10n.t('{0}. Change the recipe so?', what), apply, discard).then((choice) => {
      if (choice !== undefined && pending?.uri === uri) pending.settle(choice === apply);
    });
    const accepted = await decided;
    texts.delete(uri.toString());
    if (pending === own) {
      pending = null;
      await vscode.commands.executeCommand('setContext', contextKeys.proposalShown, false);
    }
    for (const tab of tabsOf(uri)) await vscode.window.tabGroups.close(tab);
    return accepted;
  }

  return {
    async propose(document, before, after, what) {
      if (before === after) {
        void vscode.window.showInformationMessage(vscode.l10n.t('The recipe says so already.'));
        return false;
      }
      if (!(await decision(document, after, what))) return false;
      if (document.getText() === before) return vscode.workspace.applyEdit(editOf(document, before, after));
      void vscode.window.showWarningMessage(vscode.l10n.t('The recipe has changed meanwhile, so nothing was written. Try again.'));
      return false;
    },
    decide: (accept) => pending?.settle(accept),
    dispose() {
      pending?.settle(false);
      closed.dispose();
      provider.dispose();
    },
  };
}

/** The lines that differ: the cursor and what is folded stay where they were. */
function editOf(document: vscode.TextDocument, before: string, after: string): vscode.WorkspaceEdit {
  const edit = new vscode.WorkspaceEdit();
  for (const { begin, end, text } of lineEdits(before, after)) {
    // A last line without a line end gets one before what follows it.
    const opening = begin >= document.lineCount && !before.endsWith('\n') && before !== '' ? '\n' : '';
    edit.replace(document.uri, document.validateRange(new vscode.Range(begin, 0, end, 0)), opening + text);
  }
  return edit;
}
