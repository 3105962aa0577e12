// A VS Code window for stories: the workbench in a browser, with the extension as it ships and a workspace of its own, driven by keyboard and mouse.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, errors, type Browser, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { takePicture } from './picture.js';

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
  /** Reloads the window, as the command of that name does; its editors and views come back. */
  reload(): Promise<void>;
  /** Runs a command from the palette by its title. */
  run(title: string): Promise<void>;
  /** A notification toast that holds the text. */
  notification(text: string | RegExp): Locator;
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
    await page.goto(`${server.address}/?folder=${encodeURIComponent(folder)}`, { waitUntil: 'commit' });
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
  const quickInput = page.locator('.quick-input-widget input');
  const pick = async (key: string, text: string): Promise<void> => {
    const ask = (open: () => Promise<void>) => async (): Promise<void> => {
      await open();
      await quickInput.waitFor({ timeout: 10_000 });
      await quickInput.fill(text, { timeout: 5_000 });
    };
    // A webview that is drawn anew takes the focus, and with it the key or the list; the field in the title opens the same.
    const byKey = ask(() => page.keyboard.press(key));
    const byTitle = ask(() => page.locator('.command-center-quick-pick').click());
    for (let attempts = 0; !(await inTime(attempts % 2 === 0 ? byKey : byTitle)); attempts += 1) {
      if (attempts === 5) throw new Error(`The list of ${text} did not open.`);
      await page.keyboard.press('Escape');
    }
    await page.locator('.quick-input-list .monaco-list-row').first().waitFor();
  };
  const run = async (title: string): Promise<void> => {
    const command = page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first();
    await pick('F1', `>${title}`);
    // A list that was made before the extension was known does not grow, and one closes when a page takes the focus: it is asked for again.
    for (let attempts = 0; attempts < 10; attempts += 1) {
      if (await inTime(() => command.click({ timeout: 5_000 }))) return;
      await page.keyboard.press('Escape');
      await pick('F1', `>${title}`);
    }
    await command.click();
  };
  /** In a new window it may come late, settings or not. */
  const closeWelcome = async (): Promise<void> => {
    const tab = page.locator('.tabs-container .tab', { hasText: 'Welcome' });
    // A walkthrough that a story has opened has the same title.
    if (!(await tab.isVisible()) || (await page.locator('.getting-started-step').count()) > 0) return;
    await tab.click({ button: 'middle' });
    await tab.waitFor({ state: 'detached' });
  };
  /** Opens by itself in a new window, empty. Hiding it closes what hovers, so it goes before a story begins. */
  const hideSideBar = async (): Promise<void> => {
    const bar = page.locator('.part.auxiliarybar');
    if (!(await bar.isVisible())) return;
    await run('View: Hide Secondary Side Bar');
    await bar.waitFor({ state: 'hidden' });
  };
  return {
    page,
    folder,
    extension,
    async open(file) {
      await hideSideBar();
      await pick('Control+P', file);
      await page
        .locator('.quick-input-list .monaco-list-row', { hasText: path.basename(file) })
        .first()
        .click();
      await page.locator('.tabs-container .tab.active', { hasText: path.basename(file) }).waitFor();
      await page.locator('.editor-instance .view-lines .view-line').first().waitFor();
      await closeWelcome();
    },
    async reload() {
      const loaded = page.waitForEvent('load');
      await run('Developer: Reload Window');
      await loaded;
      await page.locator('.monaco-workbench .part.statusbar').waitFor();
    },
    run,
    notification: (text) => page.locator('.notifications-toasts .notification-list-item', { hasText: text }),
    async chooseFromMenu(of, label) {
      await of.click({ button: 'right' });
      const item = page.locator('.monaco-menu .action-label', { hasText: label });
      await item.waitFor();
      // A menu of VS Code hears no button in its first 100 ms, lest the click that opened it chooses.
      await page.waitForTimeout(300);
      await item.click();
    },
    webview: () => page.frameLocator('iframe.webview.ready').frameLocator('iframe#active-frame'),
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
    async takePicture(name, clip) {
      await hideSideBar();
      await closeWelcome();
      await takePicture(page, name, { animations: 'disabled', ...(clip === undefined ? {} : { clip }) });
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Whether it is done before the time-out that it has set itself. */
async function inTime(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof errors.TimeoutError) return false;
    throw error;
  }
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
