// Story: someone installs the package in VS Code, quantizes examples from the palette, and gets the checkpoints that the command line of a clone writes.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { runBitwright } from '../support/bitwright-process.js';
import { packageFile } from '../support/package-file.js';
import { openVscodeWindow, runPatience } from '../support/vscode-window.js';

test('installed from its package, the extension quantizes two examples', async (context) => {
  await using window = await openVscodeWindow({ package: packageFile });
  // The folder into which VS Code has unpacked it, and no other, serves this window.
  assert.ok(existsSync(path.join(window.extension, 'ThirdPartyNotices.txt')), 'unpacked from the package');
  assert.deepEqual(readdirSync(path.dirname(window.extension)).sort(), [path.basename(window.extension), 'extensions.json'].sort());

  // The list is sorted by the time to activate, and holds what is in sight.
  await window.page.setViewportSize({ width: 1280, height: 2000 });
  const rows = window.page.locator('.runtime-extensions-editor .monaco-list-row');
  await window.run('Developer: Show Running Extensions');
  await rows.first().waitFor();
  assert.deepEqual(await rows.filter({ hasText: 'Bitwright' }).allTextContents(), [], 'nothing is loaded before a recipe is opened');
  await window.page.keyboard.press('Escape');

  for (const name of ['w8a16-rtn', 'w4a16-gptq']) {
    await window.open(`${name}.quant.yaml`);
    await window.page.locator('.codelens-decoration', { hasText: 'of 30 layers' }).waitFor();
    await window.run('Bitwright: Quantize');
    await window.page.locator('.tab.active', { hasText: `Report: ${name}` }).waitFor({ timeout: runPatience });
    await window.webview().locator('#heatmap .cell').first().waitFor();
    const workers = window.workers();
    assert.equal(workers.length, 1, 'the worker of the installed extension');
    const mapped = readFileSync(`/proc/${workers[0]}/maps`, 'utf8');
    assert.ok(mapped.includes(path.join(window.extension, 'dist', 'native', 'bitwright.node')), 'its native core');

    const out = path.join(window.folder, 'out', name);
    const byCommandLine = path.join(window.folder, 'out', `${name}-by-command-line`);
    const { code, stderr } = await runBitwright(['quantize', path.join(window.folder, `${name}.quant.yaml`), '--out', byCommandLine]);
    assert.equal(code, 0, stderr);
    const files = readdirSync(byCommandLine).sort();
    assert.deepEqual(readdirSync(out).sort(), files);
    assert.ok(files.includes('model.safetensors') && files.includes('config.json'));
    for (const file of files)
      assert.ok(readFileSync(path.join(out, file)).equals(readFileSync(path.join(byCommandLine, file))), `${name}/${file}`);
  }

  // As VS Code itself measures it: the code is loaded, and activate has returned.
  await window.run('Developer: Show Running Extensions');
  const row = rows.filter({ hasText: 'Bitwright' });
  const activation = /Activation: (\d+)ms/.exec((await row.textContent()) ?? '')?.[1];
  context.diagnostic(`activation ${activation ?? 'not told'} ms`);
  // The goal is 60 ms on a machine that does nothing else; this one may be busy with a second browser.
  assert.ok(Number(activation) < 1000, `activation took ${activation ?? 'nobody knows how many'} ms`);

  // A system on which the native core does not load, such as one with an older glibc.
  rmSync(path.join(window.extension, 'dist', 'native', 'bitwright.node'));
  await window.run('Bitwright: Restart Worker');
  await window.open('w8a16-rtn.quant.yaml');
  await window.run('Bitwright: Quantize');
  await window.notification('The native core, which computes, cannot be loaded').waitFor();
});
