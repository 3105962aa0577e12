// The problem codes that the sources can give, read from the sources themselves: what stands in a `code` property, and what is passed for a parameter named `code`.
import ts from 'typescript';
import { readRepositoryFile, typescriptFiles } from './source-files.js';

/** Where problems are made. */
const makers = ['server/src/', 'schemas/src/model/'];

/** Code of a recipe's problem → the files that give it. */
export const problemCodesInSources = (): Map<string, string[]> => codesIn(makers);

/** Code → the files that give it, of the files that begin so. */
export function codesIn(places: readonly string[]): Map<string, string[]> {
  const files = typescriptFiles().filter((name) => places.some((place) => name.startsWith(place)));
  const sources = files.map((name) => ts.createSourceFile(name, readRepositoryFile(name), ts.ScriptTarget.Latest, true));
  /** File and function name → where its parameter `code` stands, -1 for none. */
  const helpers = new Map<string, number>();
  for (const source of sources)
    walk(source, (node) => {
      const name = ts.isFunctionLike(node) ? nameOf(node) : null;
      if (name === null || !ts.isFunctionLike(node)) return;
      const at = node.parameters.findIndex((parameter) => ts.isIdentifier(parameter.name) && parameter.name.text === 'code');
      helpers.set(`${source.fileName} ${name}`, at);
      if (at >= 0 && ts.getCombinedModifierFlags(ownerOf(node)) & ts.ModifierFlags.Export) helpers.set(name, at);
    });
  const found = new Map<string, string[]>();
  for (const source of sources) {
    const add = (node: ts.Node | undefined): void => {
      for (const code of textsIn(node)) found.set(code, [...new Set([...(found.get(code) ?? []), source.fileName])]);
    };
    walk(source, (node) => {
      if (ts.isPropertyAssignment(node) && node.name.getText() === 'code') add(node.initializer);
      if (ts.isPropertySignature(node) && node.name.getText() === 'code') add(node.type);
      if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
        const name = node.expression.text;
        add(node.arguments[helpers.get(`${source.fileName} ${name}`) ?? helpers.get(name) ?? -1]);
      }
    });
  }
  return found;
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

function nameOf(node: ts.SignatureDeclaration): string | null {
  if (node.name !== undefined) return node.name.getText();
  return ts.isVariableDeclaration(node.parent) ? node.parent.name.getText() : null;
}

/** What carries the word `export`. */
const ownerOf = (node: ts.SignatureDeclaration): ts.Declaration => (ts.isVariableDeclaration(node.parent) ? node.parent : node);

/** The texts that an expression or a union type may be: of a choice both branches. */
function textsIn(node: ts.Node | undefined): string[] {
  if (node === undefined) return [];
  if (ts.isStringLiteral(node)) return [node.text];
  if (ts.isLiteralTypeNode(node)) return textsIn(node.literal);
  if (ts.isUnionTypeNode(node)) return node.types.flatMap(textsIn);
  if (ts.isConditionalExpression(node)) return [...textsIn(node.whenTrue), ...textsIn(node.whenFalse)];
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return textsIn(node.expression);
  return [];
}
