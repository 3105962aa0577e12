// Writes l10n/bundle.l10n.json: every text that the extension passes to l10n.t, as translators get it.
import { readFileSync, readdirSync, writeFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const bundleFile = path.join(root, 'l10n', 'bundle.l10n.json');

/** Sorted; `unreadable` names calls whose text is no literal, which no tool can find. */
export function l10nTexts() {
  const texts = new Set();
  const unreadable = [];
  const files = readdirSync(path.join(root, 'client/src'), { recursive: true }).filter((name) => name.endsWith('.ts'));
  for (const name of files.sort()) {
    const source = ts.createSourceFile(name, readFileSync(path.join(root, 'client/src', name), 'utf8'), ts.ScriptTarget.Latest, true);
    const visit = (node) => {
      if (ts.isCallExpression(node) && /(^|\.)l10n\.t$/.test(node.expression.getText(source))) {
        const [text] = node.arguments;
        if (text !== undefined && ts.isStringLiteral(text)) texts.add(text.text);
        else unreadable.push(`${name}: ${node.getText(source)}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return { texts: [...texts].sort(), unreadable };
}

export const l10nBundle = () => `${JSON.stringify(Object.fromEntries(l10nTexts().texts.map((text) => [text, text])), null, 2)}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(path.dirname(bundleFile), { recursive: true });
  writeFileSync(bundleFile, l10nBundle());
}
