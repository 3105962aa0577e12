// A webview's page alone in a browser, with the shell, policy and bundle that ship and the colours of a theme: what VS Code's own window is too slow for.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Page } from 'playwright-core';
import { stylesOf, webviewHtml } from '../../client/src/views/webview-html.js';
import type { FromWebview, ToWebview } from '../../schemas/src/protocol/client-webview.js';
import type { FromModelFilePage, ToModelFilePage } from '../../schemas/src/protocol/model-file-page.js';
import { takePicture } from './picture.js';
import { repositoryRoot } from './shared.js';

export const pageThemes = ['dark', 'light', 'high-contrast', 'high-contrast-light'] as const;
export type PageTheme = (typeof pageThemes)[number];

/** VS Code's own values of its default themes. */
const colors: Record<PageTheme, Record<string, string>> = {
  dark: {
    foreground: '#cccccc',
    'editor-background': '#1f1f1f',
    'editorWidget-background': '#202020',
    descriptionForeground: '#9d9d9d',
    'widget-border': '#313131',
    focusBorder: '#0078d4',
    'button-background': '#0078d4',
    'button-foreground': '#ffffff',
    'button-secondaryBackground': '#313131',
    'button-secondaryForeground': '#cccccc',
    'input-background': '#313131',
    'input-foreground': '#cccccc',
    'input-border': '#3c3c3c',
    'dropdown-background': '#313131',
    'dropdown-foreground': '#cccccc',
    'dropdown-border': '#3c3c3c',
    'charts-blue': '#3794ff',
    'editorWarning-foreground': '#cca700',
    errorForeground: '#f85149',
    'testing-iconPassed': '#73c991',
    'textLink-foreground': '#4daafc',
    'editorHoverWidget-background': '#202020',
    'editorHoverWidget-foreground': '#cccccc',
    'list-activeSelectionBackground': '#04395e',
    'list-activeSelectionForeground': '#ffffff',
  },
  light: {
    foreground: '#3b3b3b',
    'editor-background': '#ffffff',
    'editorWidget-background': '#f8f8f8',
    descriptionForeground: '#3b3b3b',
    'widget-border': '#e5e5e5',
    focusBorder: '#005fb8',
    'button-background': '#005fb8',
    'button-foreground': '#ffffff',
    'button-secondaryBackground': '#e5e5e5',
    'button-secondaryForeground': '#3b3b3b',
    'input-background': '#ffffff',
    'input-foreground': '#3b3b3b',
    'input-border': '#cecece',
    'dropdown-background': '#ffffff',
    'dropdown-foreground': '#3b3b3b',
    'dropdown-border': '#cecece',
    'charts-blue': '#1a85ff',
    'editorWarning-foreground': '#bf8803',
    errorForeground: '#c72e0f',
    'testing-iconPassed': '#73c991',
    'textLink-foreground': '#005fb8',
    'editorHoverWidget-background': '#f8f8f8',
    'editorHoverWidget-foreground': '#3b3b3b',
    'list-activeSelectionBackground': '#e8e8e8',
    'list-activeSelectionForeground': '#000000',
  },
  'high-contrast': {
    foreground: '#ffffff',
    'editor-background': '#000000',
    'editorWidget-background': '#0c141f',
    descriptionForeground: '#ffffff',
    contrastBorder: '#6fc3df',
    contrastActiveBorder: '#f38518',
    focusBorder: '#f38518',
    'button-background': '#000000',
    'button-foreground': '#ffffff',
    'button-border': '#6fc3df',
    'button-secondaryForeground': '#ffffff',
    'input-background': '#000000',
    'input-foreground': '#ffffff',
    'input-border': '#6fc3df',
    'dropdown-background': '#000000',
    'dropdown-foreground': '#ffffff',
    'dropdown-border': '#6fc3df',
    'charts-blue': '#59a4f9',
    'editorWarning-foreground': '#ffd370',
    errorForeground: '#f48771',
    'testing-iconPassed': '#73c991',
    'textLink-foreground': '#21a6ff',
    'editorHoverWidget-background': '#0c141f',
    'editorHoverWidget-foreground': '#ffffff',
    'list-activeSelectionForeground': '#ffffff',
  },
  'high-contrast-light': {
    foreground: '#292929',
    'editor-background': '#ffffff',
    'editorWidget-background': '#ffffff',
    descriptionForeground: '#292929',
    contrastBorder: '#0f4a85',
    contrastActiveBorder: '#006bbd',
    focusBorder: '#006bbd',
    'button-background': '#0f4a85',
    'button-foreground': '#ffffff',
    'button-secondaryBackground': '#ffffff',
    'button-secondaryForeground': '#292929',
    'button-border': '#0f4a85',
    'input-background': '#ffffff',
    'input-foreground': '#292929',
    'input-border': '#0f4a85',
    'dropdown-background': '#ffffff',
    'dropdown-foreground': '#292929',
    'dropdown-border': '#0f4a85',
    'charts-blue': '#1a85ff',
    'editorWarning-foreground': '#895503',
    errorForeground: '#b5200d',
    'testing-iconPassed': '#007100',
    'textLink-foreground': '#0f4a85',
    'editorHoverWidget-background': '#ffffff',
    'editorHoverWidget-foreground': '#292929',
    'list-activeSelectionForeground': '#292929',
  },
};

interface VscodeScript {
  browserArguments: string[];
  installBrowser(): string;
}

/** What any of the pages sends. */
type Sent = FromWebview | FromModelFilePage;

export interface WebviewWindow extends AsyncDisposable {
  readonly page: Page;
  send(message: ToWebview | ToModelFilePage): Promise<void>;
  /** What the page has sent of one kind, in order. */
  sent<Kind extends Sent['kind']>(kind: Kind): Promise<Extract<Sent, { kind: Kind }>[]>;
  /** What the browser has refused or reported as failed. */
  readonly failures: string[];
  /** Loads the page again, as a webview that was hidden, with the state that it had kept. */
  reload(): Promise<void>;
  setTheme(theme: PageTheme): Promise<void>;
  takePicture(name: string): Promise<void>;
  /** Writes build/pictures/exported/NAME, to be looked at. */
  keepFile(name: string, content: string, encoding: 'utf8' | 'base64'): void;
}

const address = 'http://127.0.0.1:9';

export async function openWebviewWindow(
  bundle: string,
  { width = 1000, height = 900, theme = 'dark' as PageTheme } = {},
): Promise<WebviewWindow> {
  const script = (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'vscode.mjs')).href)) as VscodeScript;
  const browser = await chromium.launch({ executablePath: script.installBrowser(), args: script.browserArguments });
  const page = await browser.newPage({ viewport: { width, height } });
  const failures: string[] = [];
  page.on('pageerror', (error) => failures.push(error.message));
  page.on('console', (message) => message.type() === 'error' && failures.push(message.text()));
  let now = theme;
  const style = (): string =>
    `:root{${Object.entries(colors[now])
      .map(([name, value]) => `--vscode-${name}:${value}`)
      .join(';')};--vscode-font-family:sans-serif;--vscode-font-size:13px}`;
  const html = webviewHtml({
    source: address,
    nonce: 'n0nce',
    styles: stylesOf(bundle).map((name) => `${address}/${name}`),
    script: `${address}/${bundle}.js`,
    title: '<b>page</b>',
    live: false,
  });
  await page.route('**/*', async (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    if (name === '')
      return route.fulfill({
        contentType: 'text/html',
        body: html.replace('<body>', `<body class="vscode-${now}" data-vscode-theme-kind="vscode-${now}">`),
      });
    if (name !== `${bundle}.js` && !/^shared-\w+\.js$/.test(name) && !stylesOf(bundle).includes(name))
      return route.fulfill({ status: 404, body: '' });
    const body = readFileSync(path.join(repositoryRoot, 'dist', 'webviews', name), 'utf8');
    return route.fulfill(
      name.endsWith('.css') ? { contentType: 'text/css', body: style() + body } : { contentType: 'text/javascript', body },
    );
  });
  // The face of VS Code's own channel.
  await page.addInitScript(() => {
    const sent: unknown[] = [];
    Object.assign(window, {
      sent,
      acquireVsCodeApi: () => ({
        postMessage: (message: unknown) => sent.push(message),
        getState: () => JSON.parse(sessionStorage.getItem('state') ?? 'null') as unknown,
        setState: (state: unknown) => sessionStorage.setItem('state', JSON.stringify(state)),
      }),
    });
  });
  const load = async (): Promise<void> => {
    await page.goto(`${address}/`, { waitUntil: 'load' });
  };
  await load();
  return {
    page,
    failures,
    // Until the page has it: its own listener is there before this one.
    send: (message) =>
      page.evaluate(
        (data) =>
          new Promise<void>((resolve) => {
            window.addEventListener('message', () => resolve(), { once: true });
            window.postMessage(data, '*');
          }),
        message,
      ),
    sent: async (kind) =>
      (await page.evaluate(() => (window as unknown as { sent: Sent[] }).sent)).filter((message) => message.kind === kind) as never,
    reload: load,
    async setTheme(next) {
      now = next;
      await load();
    },
    takePicture: (name) => takePicture(page, name, { fullPage: true }),
    keepFile(name, content, encoding) {
      const folder = path.join(repositoryRoot, 'build', 'pictures', 'exported');
      mkdirSync(folder, { recursive: true });
      writeFileSync(path.join(folder, path.basename(name)), content, encoding);
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}
