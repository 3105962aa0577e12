// `npm run code`: a real VS Code with the extension on the example workspace; the desktop one where the command `code` is installed, else the one in the browser.
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { onPath, root, runScript, setUp } from './setup.mjs';
import { layOutExtension, startVscodeServer } from './vscode.mjs';

const workspace = path.join(root, 'examples');
const say = (text) => process.stdout.write(`${text}\n`);

function openDesktop() {
  say('Opening the example workspace in VS Code, with the extension loaded from this folder.');
  const { status } = spawnSync('code', [`--extensionDevelopmentPath=${root}`, workspace], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

async function openInBrowser() {
  const home = path.join(root, '.vscode-test', 'code');
  const extensionsDir = path.join(home, 'extensions');
  // Laid out anew: what was built last is what is seen.
  rmSync(extensionsDir, { recursive: true, force: true });
  layOutExtension(extensionsDir);
  const server = await startVscodeServer({ data: home, extensionsDir });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.stop());
  const address = `${server.address}/?folder=${encodeURIComponent(workspace)}`;
  const opener = process.env.DISPLAY || process.env.WAYLAND_DISPLAY ? ['xdg-open'].find(onPath) : undefined;
  if (opener !== undefined) spawn(opener, [address], { stdio: 'ignore', detached: true }).unref();
  say(`
VS Code is at

  ${address}

Open w4a16-gptq.quant.yaml there and run "Bitwright: Quantize" from the command palette (F1). Ctrl+C here ends it.`);
}

await runScript(async () => {
  await setUp();
  if (onPath('code') && !process.argv.includes('--browser')) openDesktop();
  else await openInBrowser();
});
