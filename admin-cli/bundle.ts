import { readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

/*
 * `npm run build` runs this after the compiler: one entry and a chunk per command, all beside the
 * compiler's own output, so that paths relative to this folder hold in both.
 */

const here = dirname(fileURLToPath(import.meta.url));

/** Ours outside this folder is imported where the compiler put it, never bundled. */
const platform: Plugin = {
  name: 'platform',
  setup(context) {
    context.onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir, kind }) => {
      const target = resolve(resolveDir, path);
      const outside = kind !== 'entry-point' && !target.startsWith(here + sep);
      if (!outside || target.includes(`${sep}node_modules${sep}`)) return undefined;
      return { path: relative(here, target).replaceAll(sep, '/'), external: true };
    });
  },
};

/** Writes what changed, then removes the chunks of an earlier build: a running CLI keeps its own. */
async function bundle(): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: { hence: join(here, 'main.js') },
    outdir: here,
    chunkNames: 'hence-[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    sourcemap: 'linked',
    sourcesContent: false,
    plugins: [platform],
    // CommonJS dependencies call `require` for built-in modules.
    banner: {
      js: "import { createRequire as henceRequire } from 'node:module';\nconst require = henceRequire(import.meta.url);",
    },
    write: false,
    logLevel: 'warning',
  });
  await Promise.all(outputFiles.map(({ path, contents }) => writeFile(path, contents)));
  const written = new Set(outputFiles.map(({ path }) => path));
  const stale = (await readdir(here))
    .filter((name) => /^hence-.*\.js(\.map)?$/.test(name))
    .map((name) => join(here, name))
    .filter((path) => !written.has(path));
  await Promise.all(stale.map((path) => rm(path, { force: true })));
}

await bundle();
