// Bundles what ships into dist/: extension, server, worker, command line and webviews. `--watch` rebuilds on change.
import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const inRoot = (...parts) => path.join(root, ...parts);

async function bundleOptions() {
  const { version } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  const { standaloneValidators } = await import('./standalone-validators.mjs');
  const common = {
    bundle: true,
    plugins: [standaloneValidators],
    sourcemap: 'linked',
    // Less to read at every start; names stay, for the traces in logs.
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: 'warning',
    absWorkingDir: root,
    define: { BITWRIGHT_VERSION: JSON.stringify(version) },
  };
  const node = { ...common, platform: 'node', target: 'node20', format: 'cjs' };
  return [
    { ...node, entryPoints: ['client/src/extension.ts'], outfile: 'dist/client/extension.js', external: ['vscode'] },
    { ...node, entryPoints: ['server/src/main.ts'], outfile: 'dist/server/main.js' },
    { ...node, entryPoints: ['worker/src/main.ts'], outfile: 'dist/worker/main.js' },
    { ...node, entryPoints: ['client/src/cli/bitwright.ts'], outfile: 'dist/cli/bitwright.js' },
    {
      ...common,
      platform: 'browser',
      target: 'es2022',
      format: 'iife',
      entryPoints: ['client/webviews/report/main.ts'],
      outfile: 'dist/webviews/report.js',
    },
  ];
}

export async function buildBundles() {
  const esbuild = await import('esbuild');
  await Promise.all((await bundleOptions()).map((options) => esbuild.build(options)));
  chmodSync(inRoot('dist/cli/bitwright.js'), 0o755);
}

async function watchBundles() {
  const esbuild = await import('esbuild');
  for (const options of await bundleOptions()) await (await esbuild.context({ ...options, logLevel: 'info' })).watch();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--watch')) await watchBundles();
  else await buildBundles();
}
