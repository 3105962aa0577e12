// Writes a file that a page has made, where the user says.
import path from 'node:path';
import * as vscode from 'vscode';
import type { SaveFile } from '../../../schemas/src/protocol/message-shape.js';

/** `folder`: where the dialog begins. */
export async function saveFile(folder: string, { name, content, encoding }: SaveFile): Promise<void> {
  // The page proposes a name, no place.
  const uri = await vscode.window.showSaveDialog({ defaultUri: vscode.Uri.file(path.join(folder, path.basename(name))) });
  if (uri === undefined) return;
  try {
    await vscode.workspace.fs.writeFile(uri, Buffer.from(content, encoding));
  } catch (error) {
    void vscode.window.showErrorMessage(
      vscode.l10n.t(
        '{0} cannot be written: {1}. Choose another folder.',
        vscode.workspace.asRelativePath(uri),
        error instanceof Error ? error.message : String(error),
      ),
    );
  }
}
