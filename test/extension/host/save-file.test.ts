// Inside VS Code's extension host: a page's file is written where the user says, or is said not to be. The dialog and the message are answered here in the user's place.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import * as vscode from 'vscode';
import { saveFile } from '../../../client/src/views/save-file.js';

describe('a picture that a page has made', () => {
  const { showSaveDialog, showErrorMessage } = vscode.window;
  let [folder, proposed]: [string, string | undefined] = ['', undefined];
  let said: string[] = [];

  /** Saves it where a user chooses the path; `null`: the dialog is closed. */
  async function save(chosen: string | null, name = 'Weights.svg'): Promise<void> {
    Object.assign(vscode.window, {
      showSaveDialog: (options?: vscode.SaveDialogOptions) => {
        proposed = options?.defaultUri?.fsPath;
        return Promise.resolve(chosen === null ? undefined : vscode.Uri.file(chosen));
      },
      showErrorMessage: (message: string) => Promise.resolve(void said.push(message)),
    });
    await saveFile(folder, { kind: 'save-file', name, content: '<svg/>', encoding: 'utf8' });
  }

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-save-'));
    said = [];
  });
  afterEach(() => {
    Object.assign(vscode.window, { showSaveDialog, showErrorMessage });
    rmSync(folder, { recursive: true });
  });

  it('is written, over a file that is there too; a closed dialog writes nothing', async () => {
    const file = path.join(folder, 'chosen.svg');
    await save(null);
    assert.deepEqual(readdirSync(folder), []);
    writeFileSync(file, 'a longer text that was there before');
    await save(file);
    assert.equal(readFileSync(file, 'utf8'), '<svg/>');
    assert.deepEqual(said, []);
  });

  it('is proposed in the folder of the page, whatever its name says', async () => {
    await save(null, '../../elsewhere/Weights.svg');
    assert.equal(proposed, path.join(folder, 'Weights.svg'));
  });

  it('that cannot be written is said in one message, with its path, why, and what to do', async () => {
    const [file, taken] = [path.join(folder, 'file'), path.join(folder, 'taken')];
    writeFileSync(file, 'kept');
    mkdirSync(taken);
    // No one can make a file there, not even an administrator.
    const refused = path.join('/proc', 'Weights.svg');
    for (const chosen of [path.join(file, 'Weights.svg'), taken, ...(process.platform === 'linux' ? [refused] : [])]) {
      said = [];
      await save(chosen);
      assert.equal(said.length, 1, chosen);
      const [message = ''] = said;
      assert.ok(message.startsWith(`${chosen} cannot be written: `), message);
      assert.match(message, /\. Choose another folder\.$/);
      assert.doesNotMatch(message, /\.\. Choose/);
    }
    assert.equal(readFileSync(file, 'utf8'), 'kept');
    assert.deepEqual(readdirSync(taken), []);
  });
});
