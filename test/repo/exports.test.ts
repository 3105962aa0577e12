// Keeps exports to what others import: a function, constant or class that only its own file uses is not part of what the file offers.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { readRepositoryFile, typescriptFiles } from './source-files.js';

/** Called by VS Code, and by the test runner inside it. */
const entryPoints = ['client/src/extension.ts: activate', 'test/extension/host/index.ts: run'];

const parsed = new Map(
  typescriptFiles()
    .filter((name) => !name.includes('/generated/'))
    .map((name) => [name, ts.createSourceFile(name, readRepositoryFile(name), ts.ScriptTarget.Latest)]),
);

const isExported = (statement: ts.Statement): boolean =>
  ts.canHaveModifiers(statement) && (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);

/** Names of exported values; types that stand in the signature of one are told by it and not asked for. */
function exportedValues(file: ts.SourceFile): string[] {
  return file.statements.filter(isExported).flatMap((statement) => {
    if (ts.isVariableStatement(statement))
      return statement.declarationList.declarations.flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : []));
    if ((ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name) return [statement.name.text];
    return [];
  });
}

/** "file: name" of everything that some file imports; "file: *" where a whole module is. */
function importedNames(): Set<string> {
  const found = new Set<string>();
  for (const [from, file] of parsed) {
    const note = (specifier: string, name: string): void => {
      if (specifier.startsWith('.')) found.add(`${path.posix.join(path.posix.dirname(from), specifier).replace(/\.js$/, '.ts')}: ${name}`);
    };
    const visit = (node: ts.Node): void => {
      if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
        const bindings = node.importClause?.namedBindings;
        if (bindings && ts.isNamedImports(bindings))
          for (const { name, propertyName } of bindings.elements) note(node.moduleSpecifier.text, (propertyName ?? name).text);
        else note(node.moduleSpecifier.text, '*');
      }
      const [argument] = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments : [];
      if (argument && ts.isStringLiteral(argument)) note(argument.text, '*');
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}

test('every exported function, constant and class is imported somewhere', () => {
  const imported = importedNames();
  const unused = [...parsed].flatMap(([name, file]) =>
    exportedValues(file)
      .map((value) => `${name}: ${value}`)
      .filter((value) => !imported.has(value) && !imported.has(`${name}: *`) && !entryPoints.includes(value)),
  );
  assert.deepEqual(unused, []);
});
