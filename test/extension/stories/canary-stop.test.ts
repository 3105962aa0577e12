// Story: a run whose canary has come too far stops; its page says what was measured, against which limit, behind which block, and what to do.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

/** Behind block 0 the divergence of this model in 3 bits is 0.003 nats, behind block 2 0.006. */
const recipe = `model: models/stories-and-sums-1m
output:
  dir: out/watched
evaluate:
  kl_divergence:
    dataset: data/validation.jsonl
    num_samples: 8
canary:
  max_mean_kld: 0.006
  num_samples: 8
  every: 1
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      ignore: [lm_head]
      config_groups:
        group_0:
          targets: [Linear]
          weights: { num_bits: 3, type: int, symmetric: true, strategy: group, group_size: 32 }
`;

test('a canary stops a run, and its page says why and what to do', async () => {
  await using window = await openVscodeWindow({ files: { 'watched.quant.yaml': recipe } });
  const { page, folder } = window;
  await window.open('watched.quant.yaml');
  await page.locator('.codelens-decoration', { hasText: '28 of 30 layers' }).waitFor();
  await window.run('Bitwright: Quantize');
  await window.notification('The canary stopped the run behind block 2 of 4').waitFor({ timeout: runPatience });
  assert.ok(!existsSync(path.join(folder, 'out', 'watched')), 'nothing stands there as if whole');
  await window.run('Notifications: Clear All Notifications');
  await window.run('Bitwright: Show Run in Progress');
  await page.locator('.tab.active', { hasText: 'Run in Progress' }).waitFor();
  const live = window.webview();
  const state = live.locator('.state');
  await state.waitFor();
  const said = (await state.textContent()) ?? '';
  for (const part of [
    /mean KL divergence from the model is 0\.00\d+ nats on .*validation\.jsonl/,
    /canary\.max_mean_kld allows 0\.006 nats/,
    /layer with the largest error so far is model\.layers\.\d\.\S+ .*give it more bits, or add it to ignore/,
    /with a higher max_mean_kld, or without canary, running again goes on behind block 2/,
  ])
    assert.match(said, part);
  await live.locator('#canary tbody tr').nth(2).waitFor();
  await live.locator('#problems .error', { hasText: 'canary-stopped' }).waitFor();
  await window.showSideBar(false);
  for (const [theme, name] of [
    ['Dark Modern', 'run-canary-stopped'],
    ['Light Modern', 'run-canary-stopped-light'],
    ['Default High Contrast', 'run-canary-stopped-high-contrast'],
  ] as const) {
    await window.setTheme(theme);
    await live.locator('#canary svg').waitFor();
    await window.takePicture(name);
  }
});
