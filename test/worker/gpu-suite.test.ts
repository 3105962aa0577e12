// The script that is run where a graphics card is lent for half an hour: here with programs in the place of compiler, card and benches, so that nothing of it fails for
// a reason that has nothing to do with CUDA. Whatever a step does, the file of results is whole and says how it ended.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../support/shared.js';
import { inTemporaryFolder } from '../support/worker-run.js';

interface Results {
  device: string;
  unusable_because: string | null;
  steps: Record<string, { outcome: string; seconds: number }>;
  conformance: unknown;
  ladder: unknown;
  torch: unknown;
  blocks: unknown;
  recipes: unknown;
}

const outcomes = ({ steps }: Results): Record<string, string> =>
  Object.fromEntries(Object.entries(steps).map(([name, { outcome }]) => [name, outcome]));

/** Writes its arguments' last file as so many programs of the suite do. */
const writes = (json: string): string => `for last; do :; done; echo '${json}' > "$last.part"; mv "$last.part" "$last"\n`;

interface Suite {
  dir: string;
  run(
    steps?: readonly string[],
    environment?: Record<string, string>,
  ): { code: number | null; results: Results; files: string[]; text: string };
  program(name: string, body: string): void;
}

/** A copy of the script with programs of a line each around it. */
async function withSuite(work: (suite: Suite) => void): Promise<void> {
  await inTemporaryFolder((dir) => {
    const [native, bin, build, out] = ['worker/native', 'bin', 'build/gpu-native', 'out'].map((folder) => path.join(dir, folder)) as [
      string,
      string,
      string,
      string,
    ];
    for (const folder of [native, bin, build, path.join(dir, 'bench/cuda'), path.join(dir, 'bench/results')])
      mkdirSync(folder, { recursive: true });
    copyFileSync(path.join(repositoryRoot, 'worker/native/gpu-suite.sh'), path.join(native, 'gpu-suite.sh'));
    writeFileSync(path.join(dir, 'bench/cuda/torch_ladder.py'), '');
    const write = (file: string, body: string): void => {
      writeFileSync(file, `#!/usr/bin/env bash\n${body}`);
      chmodSync(file, 0o755);
    };
    write(path.join(bin, 'cmake'), 'echo "cmake $*"\n');
    write(path.join(bin, 'nvcc'), 'echo "Cuda compilation tools, release 13.0"\n');
    write(path.join(bin, 'nvidia-smi'), 'case $1 in *name) echo "Card 1";; *) echo 9.0;; esac\n');
    write(path.join(bin, 'python3'), 'exit 1\n');
    write(path.join(bin, 'python'), 'exit 1\n');
    write(path.join(bin, 'compute-sanitizer'), 'exit 0\n');
    write(path.join(build, 'native-tests'), writes('[]'));
    write(path.join(build, 'cuda-ladder'), writes('{"rungs": []}'));
    write(path.join(build, 'cuda-blocks'), writes('{"blocks": 32}'));
    write(path.join(bin, 'node'), 'exit 1\n');
    work({
      dir,
      program: (name, body) => write(path.join(existsSync(path.join(bin, name)) ? bin : build, name), body),
      run: (steps = [], environment = {}) => {
        const { status, stdout, stderr } = spawnSync(path.join(native, 'gpu-suite.sh'), [out, ...steps], {
          encoding: 'utf8',
          env: { ...process.env, PATH: `${bin}:${process.env['PATH']}`, BITWRIGHT_PYTHON: '', BITWRIGHT_NODE: '', ...environment },
        });
        const text = stdout + stderr;
        const file = path.join(out, 'gpu-suite.json');
        assert.ok(existsSync(file), text);
        return { code: status, results: JSON.parse(readFileSync(file, 'utf8')) as Results, files: readdirSync(out).sort(), text };
      },
    });
    return Promise.resolve();
  });
}

test('every step passes, without PyTorch and Node too: two files in the folder, one to be committed', () =>
  withSuite(({ run }) => {
    const { code, results, files, text } = run();
    assert.equal(code, 0, text);
    assert.deepEqual(files, ['gpu-suite.json', 'gpu-suite.log']);
    assert.match(text, /To be committed: bench\/results\/gpu-suite-card-1\.json/);
    const { torch, recipes, ...others } = outcomes(results);
    assert.deepEqual(others, { conformance: 'passed', ladder: 'passed', blocks: 'passed', memcheck: 'passed', racecheck: 'passed' });
    assert.match(torch ?? '', /^not there \(/);
    assert.match(recipes ?? '', /^not run, node is .*, and the command line needs Node 20\.19 or newer$/);
    assert.equal(results.recipes, null);
    assert.deepEqual([results.conformance, results.ladder, results.torch, results.blocks], [[], { rungs: [] }, null, { blocks: 32 }]);
  }));

test('a step that fails, writes half a file or takes too long is told, and the others run', () =>
  withSuite(({ run, program }) => {
    program('native-tests', 'echo "Segmentation \\"fault\\""; kill -SEGV $$\n');
    program('cuda-ladder', `${writes('{"rungs": [1]}')}echo '{"rungs": [1, 2' > "$last.part"; exec sleep 60\n`);
    program('compute-sanitizer', 'exit 9\n');
    const { code, results, text } = run([], { BITWRIGHT_SUITE_SECONDS: '14' });
    assert.equal(code, 1, text);
    assert.equal(outcomes(results)['conformance'], 'failed with code 139');
    assert.match(outcomes(results)['ladder'] ?? '', /^not finished in 1\d s$/);
    assert.deepEqual(results.ladder, { rungs: [1] }, 'what was timed by then');
    for (const name of ['blocks', 'memcheck', 'racecheck']) assert.equal(outcomes(results)[name], 'not begun, the 14 s were over');
    const again = run(['blocks', 'memcheck']);
    assert.equal(again.code, 1);
    assert.equal(outcomes(again.results)['blocks'], 'passed');
    assert.equal(outcomes(again.results)['memcheck'], 'failed with code 9');
    assert.equal(outcomes(again.results)['conformance'], 'failed with code 139', 'as the call before left it');
    assert.match(run(['blocks', 'none']).text, /there is no step none; the steps are conformance /);
  }));

test('recipes says what it lacks, one thing after the other, and runs when all was carried along', () =>
  withSuite(({ dir, run, program }) => {
    const outcome = (environment: Record<string, string> = {}): { code: number | null; outcome: string | undefined; results: Results } => {
      const { code, results } = run(['recipes'], environment);
      return { code, outcome: outcomes(results)['recipes'], results };
    };
    const carry = (name: string): void => {
      mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
      writeFileSync(path.join(dir, name), 'not a program');
    };
    const own = { BITWRIGHT_NODE: process.execPath };
    assert.deepEqual(
      outcome({ BITWRIGHT_NODE: '/no/node' }).outcome,
      'not run, there is no program /no/node; BITWRIGHT_NODE names a Node 20.19 or newer',
    );
    program('node', 'case $1 in --version) echo v18.20.8;; *) exit 1;; esac\n');
    assert.equal(outcome().outcome, 'not run, node is v18.20.8, and the command line needs Node 20.19 or newer');
    assert.equal(outcome(own).outcome, 'not run, bench/cuda/recipes.mjs was not carried along');
    carry('bench/cuda/recipes.mjs');
    assert.equal(outcome(own).outcome, 'not run, examples was not carried along');
    mkdirSync(path.join(dir, 'examples'));
    for (const part of ['cli/bitwright.js', 'server/main.js', 'worker/main.js', 'native/bitwright.node']) {
      assert.equal(outcome(own).outcome, `not run, dist/${part} was not carried along; npm run build makes it`);
      carry(`dist/${part}`);
    }
    const broken = outcome(own);
    assert.match(broken.outcome ?? '', /^not run, dist\/native\/bitwright\.node does not load here: .*(file too short|invalid ELF header)/);
    assert.equal(broken.code, 0, 'what is not there fails nothing');
    program('node', `[ "$1" = -e ] || { ${writes('{"recipes": {"a": 1}}').trim()}; }\n`);
    const passed = outcome();
    assert.deepEqual([passed.code, passed.outcome, passed.results.recipes], [0, 'passed', { recipes: { a: 1 } }]);
    program('node', `[ "$1" = -e ] || { ${writes('{"recipes": {"a": 2}}').trim()}; exit 1; }\n`);
    const failed = outcome();
    assert.deepEqual([failed.code, failed.outcome, failed.results.recipes], [1, 'failed with code 1', { recipes: { a: 2 } }]);
  }));

test('without a device that can be used the reason stands in the file', () =>
  withSuite(({ run, program }) => {
    program('native-tests', 'echo "The backend cuda cannot be used: the driver is \\"too old\\""\n');
    const { code, results } = run();
    assert.equal(code, 3);
    assert.equal(results.unusable_because, 'the driver is "too old"');
    assert.deepEqual([...new Set(Object.values(outcomes(results)))], ['not run, there is no CUDA device']);
  }));
