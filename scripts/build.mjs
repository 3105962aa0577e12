// Bundles what ships into dist/: extension, server, worker, command line and webviews. `--watch` rebuilds on change.
import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const inRoot = (...parts) => path.join(root, ...parts);

async function bundleOptions(outDir, sourcemap) {
  const { version } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  const { standaloneValidators } = await import('./standalone-validators.mjs');
  const common = {
    bundle: true,
    plugins: [standaloneValidators],
    sourcemap,
    metafile: true,
    // Less to read at every start; functions keep their names, for the traces in logs.
    minify: true,
    keepNames: true,
    logLevel: 'warning',
    absWorkingDir: root,
    define: { BITWRIGHT_VERSION: JSON.stringify(version) },
  };
  const node = { ...common, platform: 'node', target: 'node20', format: 'cjs' };
  return [
    { ...node, entryPoints: ['client/src/extension.ts'], outfile: `${outDir}/client/extension.js`, external: ['vscode'] },
    { ...node, entryPoints: ['server/src/main.ts'], outfile: `${outDir}/server/main.js` },
    { ...node, entryPoints: ['worker/src/main.ts'], outfile: `${outDir}/worker/main.js` },
    { ...node, entryPoints: ['worker/src/hash-thread.ts'], outfile: `${outDir}/worker/hash-thread.js` },
    { ...node, entryPoints: ['client/src/cli/bitwright.ts'], outfile: `${outDir}/cli/bitwright.js` },
    ...['report', 'sensitivity', 'comparison', 'model-file', 'standalone'].map((page) => ({
      ...common,
      platform: 'browser',
      target: 'es2022',
      format: 'iife',
      entryPoints: [`client/webviews/${page}/main.ts`],
      outfile: `${outDir}/webviews/${page}.js`,
    })),
  ];
}

/** Answers the files that the bundles are made of. */
export async function buildBundles({ outDir = 'dist', sourcemap = 'linked' } = {}) {
  const esbuild = await import('esbuild');
  const built = await Promise.all((await bundleOptions(outDir, sourcemap)).map((options) => esbuild.build(options)));
  chmodSync(inRoot(outDir, 'cli/bitwright.js'), 0o755);
  const outputs = built.flatMap(({ metafile }) => Object.values(metafile.outputs));
  return [...new Set(outputs.flatMap(({ inputs }) => Object.keys(inputs).filter((name) => inputs[name].bytesInOutput > 0)))].sort();
}

async function watchBundles() {
  const esbuild = await import('esbuild');
  for (const options of await bundleOptions('dist', 'linked')) await (await esbuild.context({ ...options, logLevel: 'info' })).watch();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--watch')) await watchBundles();
  else await buildBundles();
}
