import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { sha256 } from './snapshot.ts';

/** What of the project decides how its files compile. */
export interface ProjectSettings {
  /** Path of its tsconfig.json, if it has one. */
  readonly tsconfig?: string;
  /** Over package.json and the tsconfig with all it extends. */
  readonly hash: string;
  /** esbuild has no `emitDecoratorMetadata` and says nothing about it. */
  readonly wantsDecoratorMetadata: boolean;
}

const deepestExtends = 10;

export function readProjectSettings(projectDir: string): ProjectSettings {
  const path = join(projectDir, 'tsconfig.json');
  const texts: string[] = [];
  collect(path, texts);
  const manifest = textOf(join(projectDir, 'package.json')) ?? '';
  return {
    ...(texts.length > 0 ? { tsconfig: path } : {}),
    hash: sha256([manifest, ...texts].join('\0')),
    wantsDecoratorMetadata: texts.some((text) => /"emitDecoratorMetadata"\s*:\s*true/.test(text)),
  };
}

/** The text of a tsconfig and of those it extends by path; packages count with the lockfile. */
function collect(path: string, texts: string[]): void {
  const text = textOf(path);
  if (text === undefined || texts.length >= deepestExtends) return;
  texts.push(text);
  const clause = /"extends"\s*:\s*("[^"]*"|\[[^\]]*\])/.exec(text)?.[1] ?? '';
  for (const [, target = ''] of clause.matchAll(/"([^"]*)"/g)) {
    if (!target.startsWith('.')) continue;
    const base = resolve(dirname(path), target);
    collect(existsSync(base) ? base : `${base}.json`, texts);
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
