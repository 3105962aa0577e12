// The HTML shell of a webview, with the addresses that VS Code gives its files.
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { stylesOf, webviewHtml } from './webview-html.js';

/** `live`: what changes on the page is read aloud; else the page has a place of its own for what is. */
export function webviewPage(webview: vscode.Webview, extensionUri: vscode.Uri, bundle: string, title: string, live = true): string {
  const resource = (name: string): string => webview.asWebviewUri(vscode.Uri.joinPath(extensionUri, 'dist', 'webviews', name)).toString();
  return webviewHtml({
    source: webview.cspSource,
    nonce: randomBytes(16).toString('base64url'),
    styles: stylesOf(bundle).map(resource),
    script: resource(`${bundle}.js`),
    title,
    live,
  });
}
