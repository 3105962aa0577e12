// Asks every editor feature about a recipe, through the server's fence, and checks what holds of each answer whatever the recipe is.
import assert from 'node:assert/strict';
import { CancellationToken } from 'vscode-jsonrpc/node';
import type { TextDocument } from 'vscode-languageserver-textdocument';
import type { TextRange } from '../../schemas/src/problem.js';
import { asPlan } from '../../schemas/src/validate.js';
import { definitionOfAlias, referencesOfAnchor } from '../../server/src/features/anchors.js';
import { codeLens } from '../../server/src/features/code-lens.js';
import { completeRecipe } from '../../server/src/features/completion.js';
import { documentLinks } from '../../server/src/features/document-links.js';
import { documentSymbols, symbolsNamed, type RecipeSymbol } from '../../server/src/features/document-symbols.js';
import { foldingRanges } from '../../server/src/features/folding-ranges.js';
import { hoverRecipe } from '../../server/src/features/hover.js';
import { inlayHintKinds, inlayHints } from '../../server/src/features/inlay-hints.js';
import { selectionRanges } from '../../server/src/features/selection-ranges.js';
import { semanticTokens } from '../../server/src/features/semantic-tokens.js';
import { createFence } from '../../server/src/lsp/fence.js';
import { askFixes, askFormat, askRename, type Ask, type Questioned, type Seen } from './changing-features.js';
import { inText } from './text-ranges.js';

export async function askEverything(questioned: Questioned, seen: Seen): Promise<void> {
  const { text, analysis, random } = questioned;
  const { document, problems, plan, model, resolution } = analysis;
  const content = text.getText();
  const bugs: string[] = [];
  const fence = createFence((message) => bugs.push(message), false);
  const ask: Ask = async <Result>(name: string, work: () => Promise<Result> | Result): Promise<Result> => {
    const answer = await fence.feature<null, Result | undefined>(name, undefined, work)(null, CancellationToken.None);
    assert.deepEqual(bugs, []);
    return answer as Result;
  };
  const offset = (): number => random.below(content.length + 1);
  const someRange = (): TextRange => {
    const [one, other] = [offset(), offset()];
    return { start: text.positionAt(Math.min(one, other)), end: text.positionAt(Math.max(one, other)) };
  };
  const whole: TextRange = { start: text.positionAt(0), end: text.positionAt(content.length) };
  const within = (range: TextRange, what: string): void => inText(text, range, what);

  for (const { code, message, range } of problems) {
    const slip = /undefined|\[object|NaN/.exec(message)?.[0].toLowerCase();
    assert.ok(message.length > 10 && (slip === undefined || content.toLowerCase().includes(slip)), message);
    within(range, code);
  }
  if (plan !== null) {
    const checked = asPlan(JSON.parse(JSON.stringify(plan)));
    assert.ok('plan' in checked, 'error' in checked ? checked.error : '');
    seen.plans += 1;
  }

  const symbols = await ask('documentSymbol', () => documentSymbols(document));
  symbolsInText(symbols, text);
  await ask('workspaceSymbol', () => symbolsNamed(document, random.of(['', 'q', 'Modifier'])));
  for (const { startLine, endLine } of await ask('foldingRange', () => foldingRanges(document)))
    assert.ok(0 <= startLine && startLine < endLine && endLine < text.lineCount, `fold from ${startLine} to ${endLine}`);
  for (const { range } of await ask('codeLens', () => codeLens(document, plan, random.next() < 0.5))) within(range, 'code lens');
  for (const { range } of await ask('documentLink', () => documentLinks(resolution))) within(range, 'link');
  for (const { position } of await ask('inlayHint', () =>
    inlayHints(resolution, random.next() < 0.5 ? whole : someRange(), new Set(inlayHintKinds)),
  )) {
    within({ start: position, end: position }, 'inlay hint');
    seen.hints += 1;
  }
  const tokens = await ask('semanticTokens', () => semanticTokens(document, model));
  seen.tokens += tokens.length;
  tokens.reduce((end, { range }) => {
    within(range, 'token');
    assert.ok(text.offsetAt(range.start) >= end, `token at ${JSON.stringify(range)} before the end of the one before it`);
    assert.equal(range.start.line, range.end.line);
    return text.offsetAt(range.end);
  }, 0);

  for (let times = 2; times > 0; times -= 1) {
    const at = offset();
    const completion = await ask('completion', () =>
      completeRecipe({
        text: content,
        offset: at,
        model,
        datasets: resolution,
        listFolder: () => Promise.resolve([{ name: 'rows.jsonl', isFolder: false }]),
      }),
    );
    assert.ok(0 <= completion.begin && completion.begin <= at && at <= completion.end && completion.end <= content.length);
    seen.completions += completion.entries.length;
    const hover = await ask('hover', () => hoverRecipe(resolution, at));
    if (hover !== null) {
      within(hover.range, 'hover');
      seen.hovers += 1;
    }
    const selections = await ask('selectionRange', () => selectionRanges(document, at));
    selections.forEach((range) => within(range, 'selection'));
    selections.reduce((inner, outer) => {
      assert.ok(text.offsetAt(outer.start) <= text.offsetAt(inner.start) && text.offsetAt(inner.end) <= text.offsetAt(outer.end));
      return outer;
    });
    const definition = await ask('definition', () => definitionOfAlias(document, at));
    if (definition !== null) within(definition, 'definition');
    (await ask('references', () => referencesOfAnchor(document, at, random.next() < 0.5))).forEach((range) => within(range, 'reference'));
  }
  await askRename(questioned, ask, seen);
  await askFixes(questioned, ask, random.next() < 0.7 ? whole : someRange(), seen);
  await askFormat(questioned, ask, seen);
}

function symbolsInText(symbols: readonly RecipeSymbol[], text: TextDocument): void {
  for (const { range, selectionRange, children } of symbols) {
    inText(text, range, 'symbol');
    inText(text, selectionRange, 'symbol');
    // Editors refuse the whole outline where this does not hold.
    assert.ok(
      text.offsetAt(range.start) <= text.offsetAt(selectionRange.start) && text.offsetAt(selectionRange.end) <= text.offsetAt(range.end),
    );
    symbolsInText(children, text);
  }
}
