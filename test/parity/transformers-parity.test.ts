// Checkpoints that we write, loaded by transformers with compressed-tensors: the same perplexity as our own reading of the file, to ± 0.1 %.
// Needs a Python with torch, transformers and compressed_tensors: BITWRIGHT_PYTHON (else python3) with BITWRIGHT_PYTHONPATH before PYTHONPATH.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../support/shared.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../support/worker-run.js';

const script = path.join(repositoryRoot, 'test', 'parity', 'transformers-parity.py');

function runPython(args: readonly string[]) {
  const paths = [process.env['BITWRIGHT_PYTHONPATH'], process.env['PYTHONPATH']].filter(Boolean).join(path.delimiter);
  return spawnSync(process.env['BITWRIGHT_PYTHON'] ?? 'python3', [script, ...args], {
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: paths, PYTHONDONTWRITEBYTECODE: '1', CUDA_VISIBLE_DEVICES: '' },
  });
}

function whyNoPython(): string | false {
  const { status, stderr, error } = runPython([]);
  if (status === 0) return false;
  const why = error?.message ?? stderr.trim().split('\n').at(-1) ?? '';
  return `no Python with torch, transformers and compressed_tensors (BITWRIGHT_PYTHON, BITWRIGHT_PYTHONPATH): ${why}`;
}

const weights = (args: string): string => `config_groups: {g: {targets: [Linear], weights: {type: int, ${args}}}}`;

interface Case {
  name: string;
  modifiers: string;
  model?: 'example';
  isCalibrated?: boolean;
}

const cases: Case[] = [
  {
    name: 'rtn-4-group',
    modifiers: `QuantizationModifier: {ignore: [lm_head], ${weights('num_bits: 4, strategy: group, group_size: 4')}}`,
  },
  {
    name: 'rtn-3-channel-asymmetric',
    modifiers: `QuantizationModifier: {ignore: [lm_head], ${weights('num_bits: 3, strategy: channel, symmetric: false')}}`,
  },
  {
    name: 'gptq-4-group-actorder',
    modifiers: `GPTQModifier: {ignore: [lm_head], ${weights('num_bits: 4, strategy: group, group_size: 4, actorder: group')}}`,
    isCalibrated: true,
  },
  {
    name: 'smoothquant-gptq-W8A8',
    modifiers: 'SmoothQuantModifier: {smoothing_strength: 0.8}\n    GPTQModifier: {scheme: W8A8, targets: [Linear], ignore: [lm_head]}',
    isCalibrated: true,
  },
  {
    name: 'example-gptq-4',
    modifiers: `GPTQModifier: {ignore: [lm_head], ${weights('num_bits: 4, strategy: channel')}}`,
    model: 'example',
    isCalibrated: true,
  },
  // With quantized inputs a value on the border between two codes turns on float noise, so these agree less closely than weights alone do.
  ...['FP8', 'FP8_DYNAMIC', 'NVFP4', 'MXFP4', 'MXFP8'].map((scheme): Case => ({
    name: `rtn-${scheme}`,
    modifiers: `QuantizationModifier: {scheme: ${scheme}, targets: [Linear], ignore: [lm_head]}`,
    model: 'example',
    isCalibrated: scheme === 'FP8' || scheme === 'NVFP4',
  })),
  ...['FP8_DYNAMIC', 'NVFP4A16', 'MXFP4A16', 'MXFP8A16'].map((scheme): Case => ({
    name: `gptq-${scheme}`,
    modifiers: `GPTQModifier: {scheme: ${scheme}, targets: [Linear], ignore: [lm_head]}`,
    model: 'example',
    isCalibrated: true,
  })),
];

type Measured = Record<string, { perplexity: number; tokens: number }>;

function firstLines(file: string, n: number, copy: string): string {
  writeFileSync(copy, `${readFileSync(file, 'utf8').split('\n').slice(0, n).join('\n')}\n`);
  return copy;
}

test('transformers reads the same perplexity from our checkpoints', { skip: skipWithoutShared || whyNoPython() }, (context) =>
  inTemporaryFolder(async (dir) => {
    const example = path.join(repositoryRoot, 'examples');
    // Each model on texts of the kind that it was trained on.
    const texts = {
      stories260K: firstLines(sharedPath('data', 'text', 'tinystories-validation.jsonl'), 40, path.join(dir, 'stories.jsonl')),
      example: firstLines(path.join(example, 'data', 'validation.jsonl'), 40, path.join(dir, 'example.jsonl')),
    };
    const ours = new Map<string, { perplexity: number; tokens: number; text: string }>();
    for (const { name, modifiers, model, isCalibrated } of cases) {
      const output = path.join(dir, name);
      const calibration = {
        dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'),
        num_calibration_samples: 64,
        max_seq_length: 256,
      };
      const text = texts[model ?? 'stories260K'];
      const plan = await resolvePlan({
        recipe: `quant_stage:\n  quant_modifiers:\n    ${modifiers}\n`,
        model: model === 'example' ? path.join(example, 'models', 'stories-and-sums-1m') : sharedPath('data', 'models', 'stories260K'),
        output,
        ...(isCalibrated ? { calibration } : {}),
        evaluate: { dataset: text, max_seq_length: 256 },
      });
      const { report } = await runToCompletion(plan);
      assert.ok(report.quality?.after);
      ours.set(output, { ...report.quality.after, text });
    }
    const theirs = Object.assign(
      {},
      ...Object.values(texts).map((text) => {
        const { status, stdout, stderr } = runPython([
          text,
          '256',
          ...[...ours].filter(([, own]) => own.text === text).map(([output]) => output),
        ]);
        assert.equal(status, 0, stderr);
        return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Measured;
      }),
    ) as Measured;
    for (const [output, { perplexity, tokens }] of ours) {
      const name = path.basename(output);
      const other = theirs[output];
      assert.ok(other, name);
      context.diagnostic(`${name}: ${perplexity.toFixed(6)} ours, ${other.perplexity.toFixed(6)} theirs, ${tokens} tokens`);
      assert.equal(tokens, other.tokens, name);
      assert.ok(Math.abs(perplexity / other.perplexity - 1) < 0.001, `${name}: ${perplexity} ours, ${other.perplexity} theirs`);
    }
  }),
);
