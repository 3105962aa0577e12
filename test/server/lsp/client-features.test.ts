// The extension's language client is bundled without the features that this server does not have.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repositoryRoot } from '../../repo/source-files.js';
import { startLanguageServer } from '../../support/language-server.js';

test('the server says nothing of a feature that the bundled client leaves out', async () => {
  const script = pathToFileURL(path.join(repositoryRoot, 'scripts', 'language-client-parts.mjs')).href;
  const { absentFeatures } = (await import(script)) as { absentFeatures: Record<string, string> };
  const server = await startLanguageServer();
  const capabilities = server.capabilities;
  await server.stop();
  assert.equal(capabilities['hoverProvider'], true);
  for (const [file, capability] of Object.entries(absentFeatures)) {
    const value = capability.split('.').reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], capabilities);
    assert.equal(value, undefined, `${capability}: take ${file} out of absentFeatures in scripts/language-client-parts.mjs`);
  }
});
