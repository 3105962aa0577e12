#!/usr/bin/env node
// Stands in for the `code` executable of @vscode/test-electron where there is no desktop: takes its arguments, runs the tests in the VS Code server's extension host, exits with their code.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { browserArguments, installBrowser, startVscodeServer } from './vscode.mjs';

const timeoutMs = Number(process.env.BITWRIGHT_LAUNCHER_TIMEOUT_MS ?? 300_000);

/** `--name=value` of the command line, or the folder: the first argument that is no option. */
function readArguments(args) {
  const options = new Map();
  let folder = null;
  for (const arg of args) {
    const [, name, value] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name !== undefined) options.set(name, value ?? '');
    else folder ??= arg;
  }
  return { options, folder };
}

/** A folder of this machine as the remote window names it. */
const remote = (address, folder) => folder.replace(/^(file:\/\/)?/, `vscode-remote://${new URL(address).host}`);

async function main() {
  const { options, folder } = readArguments(process.argv.slice(2));
  const data = mkdtempSync(path.join(os.tmpdir(), 'bitwright-vscode-'));
  let server = null;
  let browser = null;
  const cleanUp = async () => {
    await browser?.close();
    server?.stop();
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void cleanUp().finally(() => process.exit(1)));
  try {
    server = await startVscodeServer({
      data,
      extensionsDir: options.get('extensions-dir') ?? path.join(data, 'extensions'),
      // Reads the payload of the address below.
      options: ['--enable-smoke-test-driver'],
    });
    browser = await chromium.launch({ executablePath: installBrowser(), args: browserArguments });
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`The tests did not end within ${timeoutMs / 1000} s.`)), timeoutMs);
      void page.exposeFunction('codeAutomationExit', (code) => {
        clearTimeout(timer);
        resolve(code);
      });
    });
    await page.exposeFunction('codeAutomationLog', (type, args) => process.stdout.write(type === 'log' ? `${args.join(' ')}\n` : ''));
    const payload = [
      ['extensionDevelopmentPath', remote(server.address, options.get('extensionDevelopmentPath'))],
      ['extensionTestsPath', remote(server.address, options.get('extensionTestsPath'))],
      ['enableProposedApi', ''],
      ['skipWelcome', 'true'],
    ];
    const query = new URLSearchParams({ payload: JSON.stringify(payload), ...(folder === null ? {} : { folder }) });
    await page.goto(`${server.address}/?${query}`, { waitUntil: 'commit' });
    return await ended;
  } finally {
    await cleanUp();
  }
}

process.exitCode = await main();
