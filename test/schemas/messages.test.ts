// Messages between the extension and its pages: what has the shape of one is read, all else is dropped.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFromWebview, readToWebview } from '../../schemas/src/protocol/client-webview.js';
import { readFromModelFilePage, readToModelFilePage } from '../../schemas/src/protocol/model-file-page.js';
import { runReport } from '../support/report-fixture.js';
import { layerRules, sensitivityAnalysis } from '../support/sensitivity-fixture.js';

const analysis = sensitivityAnalysis(1);
const report = runReport();
const file = {
  format: 'GGUF',
  size: 3,
  facts: [{ name: 'a', value: 'b' }],
  metadata: [],
  tensors: [{ name: 't', dtype: 'F32', shape: [2], bytes: 8, offset: 0, file: null }],
  problems: [],
};

const readers: readonly [read: (value: unknown) => unknown, sound: readonly object[], wrong: readonly object[]][] = [
  [
    readToWebview,
    [
      { kind: 'show-report', report, arrays: { baseUri: 'x' }, saved: '/run' },
      { kind: 'show-report', report, arrays: { base64: { 'a.bin': 'AA==' } }, saved: null },
      { kind: 'reveal-layer', layer: 'a' },
      { kind: 'show-analysis', analysis, recipeName: 'r', saved: { folder: 'f', recipe: 'u' } },
      { kind: 'show-rules', rules: layerRules(analysis) },
      { kind: 'show-rules', rules: null },
      { kind: 'highlight-layers', layers: ['a'] },
      { kind: 'show-comparison', a: report, b: report, recipe: [{ kind: 'same', text: 'x' }], saved: ['a', 'b'], all: [report] },
      { kind: 'show-run', run: { recipe: 'r', layers: [{ name: 'a' }], stages: [], problems: [] } },
    ],
    [
      { kind: 'show-report', report: { ...report, layers: [{ name: 3 }] }, arrays: { baseUri: 'x' }, saved: null },
      { kind: 'show-report', report, arrays: {}, saved: null },
      { kind: 'show-report', report, arrays: { base64: { a: 1 } }, saved: null },
      { kind: 'show-analysis', analysis: {}, recipeName: 'r', saved: { folder: 'f', recipe: 'u' } },
      { kind: 'highlight-layers', layers: 'a' },
      { kind: 'show-comparison', a: report, b: null, recipe: [], saved: [], all: [] },
      { kind: 'show-comparison', a: report, b: report, recipe: [{ kind: 'gone', text: 'x' }], saved: [], all: [] },
      { kind: 'show-comparison', a: report, b: report, recipe: [], saved: [], all: [1] },
      { kind: 'show-run', run: { recipe: 'r', layers: [{}], stages: [], problems: [] } },
    ],
  ],
  [
    readFromWebview,
    [
      { kind: 'ready' },
      { kind: 'open-recipe', layer: null },
      { kind: 'copy-text', text: 'x' },
      { kind: 'edit-layers', edits: [{ layers: [{ name: 'a', reason: '' }], to: { num_bits: 8 } }] },
      { kind: 'edit-layers', edits: [{ layers: [], to: { ignore: true } }] },
      { kind: 'assign-scheme', layers: [{ name: 'a', reason: 'b' }] },
      { kind: 'apply-bits', bits: { a: 4 } },
      { kind: 'reveal-rule', layer: 'a' },
      { kind: 'save-file', name: 'a.png', content: '', encoding: 'base64' },
      { kind: 'page-error', message: 'x' },
    ],
    [
      { kind: 'edit-layers', edits: [{ layers: [{ name: 'a' }], to: { num_bits: 8 } }] },
      { kind: 'edit-layers', edits: [{ layers: [], to: { num_bits: '8' } }] },
      { kind: 'edit-layers', edits: {} },
      { kind: 'apply-bits', bits: { a: '4' } },
      { kind: 'apply-bits', bits: [4] },
      { kind: 'save-file', name: 'a', content: 'b', encoding: 'latin1' },
      { kind: 'reveal-rule' },
    ],
  ],
  [
    readToModelFilePage,
    [
      { kind: 'show-file', name: 'x', file, whyNoStatistics: null, recipe: null },
      { kind: 'show-unreadable', name: 'x', message: 'y' },
      { kind: 'show-recipe', recipe: 'r' },
      { kind: 'show-statistics', tensor: 't', channel: null, answer: { message: 'm' } },
    ],
    [
      {
        kind: 'show-file',
        name: 'x',
        file: { ...file, tensors: [{ name: 't', dtype: 'F32', shape: '2' }] },
        whyNoStatistics: null,
        recipe: null,
      },
      { kind: 'show-statistics', tensor: 't', channel: null, answer: {} },
    ],
  ],
  [
    readFromModelFilePage,
    [
      { kind: 'ready' },
      { kind: 'inspect', tensor: 't', channel: { axis: 'row', index: 1 } },
      { kind: 'add-to-recipe', tensors: ['t'], to: 'ignore' },
      { kind: 'page-error', message: 'x' },
    ],
    [
      { kind: 'inspect', tensor: 't', channel: { axis: 'diagonal', index: 1 } },
      { kind: 'inspect', tensor: 't' },
      { kind: 'add-to-recipe', tensors: ['t'], to: 'model' },
      { kind: 'add-to-recipe', tensors: 't', to: 'ignore' },
    ],
  ],
];

for (const [read, sound, wrong] of readers)
  test(`${read.name}: every kind as it is, and nothing that is wrong in a field`, () => {
    for (const message of sound) assert.equal(read(message), message, JSON.stringify(message).slice(0, 200));
    for (const message of wrong) assert.equal(read(message), null, JSON.stringify(message).slice(0, 200));
    for (const value of [
      null,
      undefined,
      3,
      'ready',
      [],
      {},
      { kind: 3 },
      { kind: 'toString' },
      { kind: '__proto__' },
      [{ kind: 'ready' }],
    ])
      assert.equal(read(value), null);
  });
