// A VS Code window for stories: the workbench in a browser, with the extension as it ships and a workspace of its own, driven by keyboard and mouse.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { takePicture } from './picture.js';
import { chooseFromList, chooseFromMenu } from './quick-input.js';

const root = path.join(__dirname, '..', '..', '..');

/** What scripts/vscode.mjs gives. */
interface VscodeScript {
  browserArguments: string[];
  installBrowser(): string;
  layOutExtension(extensionsDir: string): string;
  installPackage(file: string, extensionsDir: string): string;
  startVscodeServer(parts: {
    data: string;
    extensionsDir: string;
    asksForTrust?: boolean;
    onOutput?: (text: string) => void;
  }): Promise<{ address: string; stop(): void }>;
}

export type ColorTheme = 'Dark Modern' | 'Light Modern' | 'Default High Contrast' | 'Default High Contrast Light';

export interface VscodeWindow extends AsyncDisposable {
  readonly page: Page;
  /** The opened folder; removed with the window. */
  readonly folder: string;
  /** Where the extension of this window stands. */
  readonly extension: string;
  open(file: string): Promise<void>;
  /** Opens a file that has a page for an editor. */
  openPage(file: string): Promise<FrameLocator>;
  /** Reloads the window, as the command of that name does; its editors and views come back. */
  reload(): Promise<void>;
  /** Runs a command from the palette by its title. */
  run(title: string): Promise<void>;
  /** A notification that holds the text, and is in sight. */
  notification(text: string | RegExp): Locator;
  /** Presses a button of a notification that was in sight, and may have gone since into the list of them. */
  answer(text: string | RegExp, button: string): Promise<void>;
  /** Shows or hides what stands beside the editors. */
  showSideBar(shown: boolean): Promise<void>;
  /** Right-clicks and chooses from the menu. */
  chooseFromMenu(of: Locator, label: string): Promise<void>;
  /** The page inside the visible webview. */
  webview(): FrameLocator;
  setTheme(theme: ColorTheme): Promise<void>;
  /** Process ids of the workers that this window's extension has started. */
  workers(): number[];
  /** Writes build/pictures/NAME.png. */
  takePicture(name: string, clip?: { x: number; y: number; width: number; height: number }): Promise<void>;
}

/** Milliseconds for what a run or an analysis of the examples does: seconds on a machine that has nothing else to do. */
export const runPatience = 240_000;

const settings = {
  'workbench.colorTheme': 'Dark Modern',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'chat.commandCenter.enabled': false,
  'chat.disableAIFeatures': true,
  'editor.minimap.enabled': false,
  'editor.occurrencesHighlight': 'off',
  'editor.selectionHighlight': false,
  'editor.cursorBlinking': 'solid',
  'editor.wordBasedSuggestions': 'off',
  'explorer.autoReveal': false,
  'files.autoSave': 'off',
  'telemetry.telemetryLevel': 'off',
};

/** Files of the example workspace and of `files` (path → text) in a fresh folder. */
function makeWorkspace(files: Record<string, string>): string {
  // Its last part is the title of the window, and the same in every picture.
  const folder = path.join(mkdtempSync(path.join(os.tmpdir(), 'bitwright-workspace-')), 'examples');
  mkdirSync(folder);
  const examples = path.join(root, 'examples');
  for (const name of ['w4a16-gptq.quant.yaml', 'w8a16-rtn.quant.yaml', 'w8a8-smoothquant-gptq.quant.yaml'])
    copyFileSync(path.join(examples, name), path.join(folder, name));
  for (const name of ['data', 'models']) symlinkSync(path.join(examples, name), path.join(folder, name));
  mkdirSync(path.join(folder, '.vscode'));
  writeSettings(folder, settings);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

const writeSettings = (folder: string, values: object): void =>
  writeFileSync(path.join(folder, '.vscode', 'settings.json'), JSON.stringify(values, null, 2));

/** In the page, before its own scripts: settings that stand from the first. Those of a folder are read when the window has opened its start page and side bars already. */
function setDefaults(defaults: Record<string, unknown>): void {
  if (window !== window.top) return;
  const observer = new MutationObserver(() => {
    const configuration = document.getElementById('vscode-workbench-web-configuration');
    if (configuration === null) return;
    observer.disconnect();
    const given = JSON.parse(configuration.dataset['settings'] ?? '{}') as object;
    configuration.dataset['settings'] = JSON.stringify({ ...given, configurationDefaults: defaults });
  });
  observer.observe(document, { childList: true, subtree: true });
}

export interface WindowOptions {
  /** A .vsix to install; else the extension is laid out as it would be packaged. */
  package?: string;
  files?: Record<string, string>;
  width?: number;
  height?: number;
  /** false: in VS Code's restricted mode, as a folder of authors whom the user does not trust. */
  isTrusted?: boolean;
  /** Other extensions of the window: name → files (path → text). */
  others?: Record<string, Record<string, string>>;
}

export async function openVscodeWindow({
  package: vsix,
  files = {},
  width = 1280,
  height = 800,
  isTrusted = true,
  others = {},
}: WindowOptions = {}): Promise<VscodeWindow> {
  const script = (await import(pathToFileURL(path.join(root, 'scripts', 'vscode.mjs')).href)) as VscodeScript;
  const data = mkdtempSync(path.join(os.tmpdir(), 'bitwright-vscode-'));
  const extensionsDir = path.join(data, 'extensions');
  const extension = vsix === undefined ? script.layOutExtension(extensionsDir) : script.installPackage(vsix, extensionsDir);
  for (const [name, parts] of Object.entries(others)) {
    mkdirSync(path.join(extensionsDir, name));
    for (const [file, text] of Object.entries(parts)) writeFileSync(path.join(extensionsDir, name, file), text);
  }
  const folder = makeWorkspace(files);
  const server = await script.startVscodeServer({ data, extensionsDir, asksForTrust: !isTrusted });
  let browser: Browser | null = null;
  try {
    browser = await chromium.launch({ executablePath: script.installBrowser(), args: script.browserArguments });
    const page = await browser.newPage({ viewport: { width, height } });
    page.setDefaultTimeout(60_000);
    await page.addInitScript(setDefaults, settings);
    const payload = JSON.stringify([['skipWelcome', 'true']]);
    const query = new URLSearchParams({ folder, payload });
    await page.goto(`${server.address}/?${query.toString()}`, { waitUntil: 'commit' });
    await page.locator('.monaco-workbench .part.statusbar').waitFor();
    await page.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
    return vscodeWindow(page, folder, extension, async () => {
      await browser?.close();
      server.stop();
      for (const dir of [data, path.dirname(folder)]) rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    });
  } catch (error) {
    await browser?.close();
    server.stop();
    throw error;
  }
}

function vscodeWindow(page: Page, folder: string, extension: string, close: () => Promise<void>): VscodeWindow {
  const webview = (): FrameLocator => page.frameLocator('iframe.webview.ready').frameLocator('iframe#active-frame');
  const notification = (text: string | RegExp): Locator =>
    page.locator('.notifications-toasts, .notifications-center').locator('.notification-list-item', { hasText: text });
  const run = (title: string): Promise<void> => chooseFromList(page, 'F1', `>${title}`, title);
  const choose = async (file: string): Promise<void> => {
    const name = path.basename(file);
    await chooseFromList(page, 'Control+P', file, name);
    await page.locator('.tabs-container .tab.active', { hasText: name }).waitFor();
  };
  return {
    page,
    folder,
    extension,
    async open(file) {
      await choose(file);
      await page.locator('.editor-instance .view-lines .view-line').first().waitFor();
    },
    async openPage(file) {
      await choose(file);
      const opened = webview();
      await opened.locator('h1', { hasText: path.basename(file) }).waitFor();
      return opened;
    },
    async reload() {
      const loaded = page.waitForEvent('load');
      await run('Developer: Reload Window');
      await loaded;
      await page.locator('.monaco-workbench .part.statusbar').waitFor();
    },
    run,
    notification,
    async answer(text, button) {
      // A message with a choice that nobody makes goes after 10 s, into the list of them.
      if (!(await notification(text).isVisible())) await run('Notifications: Show Notifications');
      await notification(text).getByRole('button', { name: button }).click();
    },
    async showSideBar(shown) {
      const bar = page.locator('.part.sidebar');
      if ((await bar.isVisible()) !== shown) await run('View: Toggle Primary Side Bar Visibility');
      await bar.waitFor({ state: shown ? 'visible' : 'hidden' });
    },
    chooseFromMenu: (of, label) => chooseFromMenu(page, of, label),
    webview,
    async setTheme(theme) {
      writeSettings(folder, { ...settings, 'workbench.colorTheme': theme });
      const kind = {
        'Dark Modern': 'vs-dark',
        'Light Modern': 'vs',
        'Default High Contrast': 'hc-black',
        'Default High Contrast Light': 'hc-light',
      }[theme];
      await page.locator(`.monaco-workbench.${kind}`).waitFor();
    },
    workers: () => processesRunning(path.join(extension, 'dist', 'worker', 'main.js')),
    takePicture: (name, clip) => takePicture(page, name, { animations: 'disabled', ...(clip === undefined ? {} : { clip }) }),
    [Symbol.asyncDispose]: close,
  };
}

/** Processes with the script on their command line (Linux, as the VS Code server here). */
function processesRunning(script: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => commandLineOf(pid).includes(script)).map(Number);
}

function commandLineOf(pid: string): string[] {
  try {
    return readFileSync(path.join('/proc', pid, 'cmdline'), 'utf8').split('\0');
  } catch (error) {
    // It ended between the listing and the reading.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return [];
    throw error;
  }
}
