import { basename, extname, isAbsolute, relative, sep } from 'node:path';

const codeExtensions = new Set(['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx']);
const serviceExtensions = new Set(['.ts', '.mts', '.js', '.mjs']);
const textExtensions = new Set([
  '.txt',
  '.md',
  '.sql',
  '.csv',
  '.html',
  '.xml',
  '.yaml',
  '.yml',
  '.graphql',
]);

/** Code is compiled, `json` and `text` are inlined into the unit that imports them. */
export type FileKind = 'code' | 'json' | 'text';

export function fileKind(path: string): FileKind | undefined {
  const extension = extname(path).toLowerCase();
  if (codeExtensions.has(extension)) return 'code';
  if (extension === '.json') return 'json';
  return textExtensions.has(extension) ? 'text' : undefined;
}

/** Names of the files that decide what imports and compiled code mean. */
export const projectFiles: ReadonlySet<string> = new Set([
  'package.json',
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
  'tsconfig.json',
]);

export function isProjectFile(path: string): boolean {
  return projectFiles.has(basename(path));
}

/** Names an editor or a tool leaves for a moment, dotfiles, and folders nobody means as services. */
export function isIgnoredName(name: string): boolean {
  return (
    name.startsWith('.') ||
    name.startsWith('#') ||
    name.endsWith('~') ||
    name === 'node_modules' ||
    name === '4913' ||
    /\.(?:sw[a-z]|swpx|tmp|temp|bak|orig|part|crdownload)$/i.test(name) ||
    /\.tmp[.-]?[\w-]*$/i.test(name) ||
    /___jb_(?:tmp|old)___$/.test(name)
  );
}

/** True when any part of `path` below `folder` has an ignored name. */
export function isIgnored(folder: string, path: string): boolean {
  const inner = relative(folder, path);
  return inner !== '' && inner.split(sep).some((part) => part !== '..' && isIgnoredName(part));
}

/** A file whose classes are services: code, but neither types nor a test. */
export function isServiceFile(path: string): boolean {
  const name = basename(path);
  if (!serviceExtensions.has(extname(name))) return false;
  return !/\.d\.m?ts$/.test(name) && !/\.(?:test|spec)\.m?[jt]s$/.test(name);
}

export function isInside(folder: string, path: string): boolean {
  const inner = relative(folder, path);
  return inner !== '' && inner !== '..' && !inner.startsWith(`..${sep}`) && !isAbsolute(inner);
}

/** The path as people see it: relative to the project, with `/`. */
export function displayPath(projectDir: string, path: string): string {
  const inner = isInside(projectDir, path) ? relative(projectDir, path) : path;
  return inner.split(sep).join('/');
}
