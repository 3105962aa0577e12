// Neovim, headless, as a client over plain stdio: set up by the very text of docs/editors.md, it opens a recipe, mends it and asks for hover and completion.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { commandLinePath, requireBuild } from '../../support/bitwright-process.js';
import { repositoryRoot } from '../../support/shared.js';
import { temporaryFolder, writeTinyLlama } from '../../support/tiny-llama-folder.js';

const isInstalled = spawnSync('nvim', ['--version']).status === 0;

interface Seen {
  /** Of the recipe as it was opened: severity (1 is error), code, line and columns. */
  opened: { severity: number; code: string; line: number; from: number; to: number }[];
  fix: string;
  lineAfterFix: string;
  afterFix: string[];
  hover: string;
  completion: string[];
  omnifunc: string;
  clients: number;
  problem: string | null;
}

const recipe = `model: model
output: {dir: out}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A8
      targets: [Linear, q_prj]
      ignore: [lm_head]
`;

/** What a user would do, in Neovim's own functions; the answers go to a file. */
const script = `
local seen = {}
local function waitFor(what, test)
  if not vim.wait(20000, test, 20) then error('waited in vain for ' .. what) end
end
local function ask(method, position, more)
  local params = vim.tbl_extend('force', { textDocument = vim.lsp.util.make_text_document_params(), position = position }, more or {})
  for _, answer in pairs(vim.lsp.buf_request_sync(0, method, params, 20000)) do return answer.result end
end
local function run()
  dofile(vim.env.SNIPPET)
  vim.cmd('edit ' .. vim.env.RECIPE)
  waitFor('diagnostics', function() return #vim.diagnostic.get(0) > 0 end)
  seen.opened = vim.tbl_map(function(found)
    return { severity = found.severity, code = found.user_data.lsp.code, line = found.lnum, from = found.col, to = found.end_col }
  end, vim.diagnostic.get(0))
  local place = { line = 6, character = 26 }
  local range = { start = place, ['end'] = place }
  local fix = ask('textDocument/codeAction', nil, { range = range, context = { diagnostics = {} } })[1]
  seen.fix = fix.title
  vim.lsp.util.apply_workspace_edit(fix.edit, 'utf-16')
  seen.lineAfterFix = vim.api.nvim_buf_get_lines(0, 6, 7, true)[1]
  waitFor('the problem to go', function()
    return #vim.tbl_filter(function(found) return found.severity == 1 end, vim.diagnostic.get(0)) == 0
  end)
  seen.afterFix = vim.tbl_map(function(found) return found.message end, vim.diagnostic.get(0))
  seen.hover = ask('textDocument/hover', { line = 5, character = 15 }).contents.value
  vim.api.nvim_buf_set_lines(0, 5, 6, true, { '      scheme: W8' })
  seen.completion = vim.tbl_map(function(item) return item.label end, ask('textDocument/completion', { line = 5, character = 16 }).items)
  seen.omnifunc = vim.bo.omnifunc
  seen.clients = vim.tbl_count(vim.lsp.get_clients and vim.lsp.get_clients({ bufnr = 0 }) or vim.lsp.buf_get_clients(0))
end
local done, problem = xpcall(run, debug.traceback)
if not done then seen.problem = problem end
local file = io.open(vim.env.SEEN, 'w')
file:write(vim.json.encode(seen))
file:close()
vim.cmd('qall!')
`;

test('Neovim shows problems, mends one, hovers and completes', { skip: isInstalled ? false : 'nvim is not installed' }, () => {
  requireBuild('cli', 'server');
  const folder = temporaryFolder('neovim');
  const inFolder = (name: string): string => path.join(folder, name);
  writeTinyLlama(inFolder('model'));
  writeFileSync(inFolder('a.quant.yaml'), recipe);
  writeFileSync(inFolder('snippet.lua'), neovimSnippet());
  writeFileSync(inFolder('drive.lua'), script);
  mkdirSync(inFolder('bin'));
  symlinkSync(commandLinePath, inFolder('bin/bitwright'));
  const state = Object.fromEntries(['DATA', 'STATE', 'CACHE', 'CONFIG'].map((kind) => [`XDG_${kind}_HOME`, folder]));
  const { status, stderr } = spawnSync('nvim', ['--headless', '-u', 'NONE', '-i', 'NONE', '-n', '-c', `luafile ${inFolder('drive.lua')}`], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 90_000,
    env: {
      ...process.env,
      ...state,
      PATH: `${inFolder('bin')}${path.delimiter}${process.env['PATH'] ?? ''}`,
      BITWRIGHT_STRICT: '1',
      SNIPPET: inFolder('snippet.lua'),
      RECIPE: inFolder('a.quant.yaml'),
      SEEN: inFolder('seen.json'),
    },
  });
  assert.equal(status, 0, stderr);
  const seen = JSON.parse(readFileSync(inFolder('seen.json'), 'utf8')) as Seen;
  assert.equal(seen.problem ?? null, null);
  assert.deepEqual(seen.opened, [{ severity: 1, code: 'target-matches-nothing', line: 6, from: 24, to: 29 }]);
  assert.match(seen.fix, /^Change to re:\.\*q_proj/);
  assert.match(seen.lineAfterFix, /^ {6}targets: \[Linear, 're:\.\*q_proj\$?'\]$/);
  assert.deepEqual(Object.values(seen.afterFix), []);
  assert.match(seen.hover, /W8A8/);
  assert.ok(seen.completion.includes('W8A16'), seen.completion.join(', '));
  assert.equal(seen.omnifunc, 'v:lua.vim.lsp.omnifunc');
  assert.equal(seen.clients, 1);
});

/** The one block of Lua in docs/editors.md. */
function neovimSnippet(): string {
  const blocks = [...readFileSync(path.join(repositoryRoot, 'docs', 'editors.md'), 'utf8').matchAll(/```lua\n([^]*?)```/g)];
  assert.equal(blocks.length, 1);
  return blocks[0]?.[1] ?? '';
}
