// The compact text of a report: what it says of memory, where that is more than one number.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../schemas/src/generated/report.js';
import { reportLines } from '../../client/src/cli/report-text.js';
import { runReport } from '../support/report-fixture.js';

const memoryLines = (memory: Partial<RunReport['memory']>): string[] => {
  const report = runReport();
  const lines = reportLines({ ...report, memory: { ...report.memory, ...memory } }, { output_dir: null, report_dir: null });
  const first = lines.findIndex((line) => line.startsWith('Memory '));
  return lines.slice(first, lines.indexOf('Checkpoint  not written'));
};

test('a run that was stopped says so, and shows no size of a checkpoint that is not there', () => {
  const report = { ...runReport(), quality: null };
  const none = { output_dir: null, report_dir: null };
  const n_layers = report.layers.filter(({ quantizer }) => quantizer !== null).length;
  for (const [outcome, beginning] of [
    ['cancelled', `Cancelled after ${n_layers} layers in `],
    ['failed', `Failed after ${n_layers} layers in `],
  ] as const) {
    const lines = reportLines({ ...report, outcome }, none);
    assert.ok(lines[1]?.startsWith(beginning), lines[1]);
    assert.deepEqual(
      lines.filter((line) => /^ +(before|weights )/.test(line)),
      [],
    );
  }
  const lines = reportLines(report, { output_dir: '/out', report_dir: null });
  assert.ok(lines[1]?.startsWith(`Quantized ${n_layers} layers in `), lines[1]);
  assert.ok(lines.some((line) => line.startsWith('  weights ')));
});

test('a run that has pruned and quantized nothing counts the pruned layers, and has its worst', () => {
  const report = runReport();
  const layers = report.layers.map((layer) => ({ ...layer, quantizer: null, scheme: null }));
  const lines = reportLines({ ...report, layers }, { output_dir: '/out', report_dir: null });
  assert.ok(lines[1]?.startsWith(`Pruned ${layers.length} layers in `), lines[1]);
  assert.ok(lines.some((line) => line.startsWith('  worst layers ')));
  assert.doesNotMatch(lines.join('\n'), /quantized layers/);
});

test('one line on a CPU with room, and for reports that tell no more', () => {
  const one = ['Memory      181.0 MB at most (estimated 222.0 MB)'];
  assert.deepEqual(memoryLines({}), one);
  const devices = [{ kind: 'cpu' as const, name: 'A processor', peak_bytes: 1e8, total_bytes: 1e10, limit_bytes: null }];
  assert.deepEqual(memoryLines({ devices, activations: { device_bytes: 5e6, host_bytes: 0, disk_bytes: 0 } }), one);
});

test('another device, a cap and hidden states elsewhere are told', () => {
  const device = { kind: 'cuda' as const, name: 'A card', peak_bytes: 4e9, total_bytes: 24e9, limit_bytes: null };
  const activations = { device_bytes: 3e9, host_bytes: 2e9, disk_bytes: 1e9 };
  assert.deepEqual(memoryLines({ devices: [device, { ...device, limit_bytes: 5e9 }], activations }).slice(1), [
    '            4.0 GB of 24.0 GB on A card',
    '            4.0 GB of 5.0 GB that are allowed on A card',
    '            hidden states: 3.0 GB on the device, 2.0 GB pinned, 1.0 GB on disk at most',
  ]);
});

test('what methods did to the layers stands in one line each', () => {
  const [first, ...others] = runReport().layers;
  const lines = reportLines(
    { ...runReport(), layers: [{ ...first!, low_rank: { rank: 8, error_before: 2, error_after: 1 } }, ...others] },
    { output_dir: null, report_dir: null },
  );
  assert.ok(lines.includes('Low-rank adapter: model.layers.0.self_attn.q_proj: rank 8, 50 % less error'));
});

test('the importance that a run has measured is named as a file, but not behind transforms', () => {
  const { layers, ...report } = { ...runReport(), transforms: [], rotations: [] };
  const sums = { file: 'blocks/000.arrays.bin', dtype: 'F32' as const, shape: [64], offset: 0, min: 0, max: 1 };
  const weighed = { ...report, layers: layers.map((layer) => ({ ...layer, importance: { sums, rows: 2, tokens: 64 } })) };
  const lines = (of: RunReport) =>
    reportLines(of, { output_dir: '/out', report_dir: '/out.run' }).filter((line) => line.startsWith('Imatrix'));
  assert.deepEqual(lines(weighed), [`Imatrix     ${path.join('/out.run', 'imatrix.gguf')}`]);
  assert.deepEqual([lines({ ...report, layers }), lines({ ...weighed, outcome: 'cancelled' })], [[], []]);
  const rotation = { name: 'hadamard' } as unknown as NonNullable<RunReport['rotations']>[number];
  assert.deepEqual(lines({ ...weighed, rotations: [rotation] }), []);
});
