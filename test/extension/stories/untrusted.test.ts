// Story: a folder whose authors are not trusted: recipes are checked, mended and planned; what would run something says that it is off, and nothing is written.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openVscodeWindow } from '../../support/vscode-window.js';

const recipe = `model: models/stories-and-sums-1m
output:
  dir: out/untrusted
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W4A61
      targets: [Linear]
      ignore: [lm_head]
`;

/** An extension that asks for every tool of Bitwright and writes beside itself what it is told. */
const asker = {
  'package.json': JSON.stringify({
    name: 'asker',
    publisher: 'test',
    version: '1.0.0',
    engines: { vscode: '^1.100.0' },
    main: './asker.js',
    capabilities: { untrustedWorkspaces: { supported: true } },
    contributes: { commands: [{ command: 'asker.ask', title: 'Ask Every Tool' }] },
  }),
  'asker.js': `
    const vscode = require('vscode');
    const { writeFileSync } = require('node:fs');
    const path = require('node:path');
    exports.activate = ({ subscriptions }) => subscriptions.push(vscode.commands.registerCommand('asker.ask', async () => {
      const answers = {};
      const input = { recipe: 'untrusted.quant.yaml', budget: '4.25bpw' };
      for (const { name } of vscode.lm.tools.filter((tool) => tool.name.startsWith('bitwright_')))
        answers[name] = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined }).then(
          ({ content }) => 'answered: ' + content.map(({ value }) => value).join(''),
          ({ message }) => message,
        );
      writeFileSync(path.join(__dirname, '..', 'answers.json'), JSON.stringify(answers));
      void vscode.window.showInformationMessage('Every tool was asked');
    }));`,
};

test('in a folder that is not trusted recipes are edited and nothing runs', async () => {
  await using window = await openVscodeWindow({ isTrusted: false, files: { 'untrusted.quant.yaml': recipe }, others: { asker } });
  const { page } = window;
  await page.locator('.statusbar-item', { hasText: 'Restricted Mode' }).waitFor();
  await window.open('untrusted.quant.yaml');

  // Checked, and mended by the light bulb.
  await page.locator('.squiggly-error').first().waitFor();
  await page.locator('.view-line span span', { hasText: 'W4A61' }).last().click();
  const change = page.locator('.action-widget .monaco-list-row', { hasText: 'Change to W4A16' }).first();
  // It stands there when the server has told of its fixes; the key before that opens nothing.
  await page.locator('.lightBulbWidget').waitFor();
  await page.keyboard.press('Control+.');
  await change.waitFor();
  await page.waitForTimeout(300);
  await page.keyboard.press('Enter');
  await page.locator('.view-line', { hasText: 'W4A16' }).waitFor();
  await page.locator('.codelens-decoration', { hasText: 'of 30 layers' }).waitFor();
  await page.keyboard.press('Control+S');

  for (const command of ['Quantize', 'Analyze Layer Sensitivity']) {
    await window.run(`Bitwright: ${command}`);
    const warning = window.notification('not trusted');
    await warning.waitFor();
    assert.match((await warning.textContent()) ?? '', /Trust the workspace/);
    if (command === 'Quantize') await window.takePicture('untrusted');
    await window.run('Notifications: Clear All Notifications');
    await warning.waitFor({ state: 'detached' });
  }

  // Nor is a language model answered: another extension asks for every tool, as a chat does.
  await window.run('Ask Every Tool');
  await window.notification('Every tool was asked').waitFor();
  const answers = JSON.parse(readFileSync(path.join(window.extension, '..', 'answers.json'), 'utf8')) as Record<string, string>;
  assert.deepEqual(Object.keys(answers).sort(), ['bitwright_analyze', 'bitwright_check', 'bitwright_plan', 'bitwright_suggest']);
  for (const [name, answer] of Object.entries(answers))
    assert.match(answer, /^The workspace is not trusted: Bitwright runs nothing in it\. Its user can trust it\.$/, name);

  await window.run('Bitwright: Show Plan');
  await window.webview().locator('h1', { hasText: 'Plan of untrusted.quant.yaml' }).waitFor();
  assert.deepEqual(window.workers(), []);
  assert.ok(!existsSync(path.join(window.folder, 'out')));
});
