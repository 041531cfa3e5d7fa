import { type ImportSpecifier, parse } from 'es-module-lexer';
import { type Links, type Use, unquote } from './links.ts';
import { applyEdits, type Edit } from './rewrite.ts';

const staticImport = -1;

interface Clause {
  readonly star?: string;
  /** Imported name and local name. */
  readonly names: readonly (readonly [string, string])[];
}

/**
 * A file with a top-level await, compiled to ESM, as the body of an async function: the same lines,
 * with one line before them. What it imports is bound once, when it is evaluated.
 */
export function asyncBody(esm: string): { readonly code: string; readonly links: Links } {
  const [imports, exported] = parse(esm);
  const statements = imports
    .filter((found) => found.d === staticImport)
    .map((found, at) => statementOf(esm, found, `__hence_${at}`));
  const edits = statements.map((statement) => statement.edit);
  for (const start of new Set(exported.map((found) => found.ss))) {
    const end = esm.indexOf('}', start) + 1;
    if (!esm.startsWith('export {', start) || end === 0) continue;
    edits.push({ start, end, text: newlines(esm.slice(start, end)) });
  }
  const getters = exported.map(
    (found) => `${JSON.stringify(found.n)}: () => ${found.ln ?? found.n}`,
  );
  const shift = preamble(getters).length;
  return {
    code: preamble(getters) + applyEdits(esm, edits),
    links: {
      exports: Object.fromEntries(exported.map((found) => [found.n, null])),
      stars: statements.flatMap((statement) => statement.star ?? []),
      uses: statements
        .flatMap((statement) => statement.uses)
        .map((use) => ({ ...use, offset: shift + shifted(use.offset, edits) })),
    },
  };
}

interface Statement {
  readonly edit: Edit;
  readonly uses: readonly Use[];
  readonly star?: string;
}

function statementOf(esm: string, found: ImportSpecifier, name: string): Statement {
  const { ss: start, se: end, n: path = '' } = found;
  const text = esm.slice(start, end);
  if (text.startsWith('export')) {
    const edit = { start, end, text: copied(name, path) + newlines(text) };
    return { edit, uses: [], star: path };
  }
  const clause = clauseOf(esm.slice(start, found.s));
  const uses = clause.names.map(([from]) => ({ path, name: from, offset: start }));
  return { edit: { start, end, text: bound(name, path, clause) + newlines(text) }, uses };
}

function preamble(getters: readonly string[]): string {
  return (
    '"use strict"; Object.defineProperty(exports, "__esModule", { value: true }); ' +
    'const __hence_es = (m) => m?.__esModule || m?.[Symbol.toStringTag] === "Module" ? m : { ...m, default: m }; ' +
    `for (const [k, get] of Object.entries({ ${getters.join(', ')} })) ` +
    'Object.defineProperty(exports, k, { get, enumerable: true });\n'
  );
}

function bound(name: string, specifier: string, clause: Clause): string {
  const parts = [`${name} = __hence_es(require(${JSON.stringify(specifier)}))`];
  if (clause.star !== undefined) parts.push(`${clause.star} = ${name}`);
  const names = clause.names.map(([from, local]) => `${JSON.stringify(from)}: ${local}`);
  if (names.length > 0) parts.push(`{ ${names.join(', ')} } = ${name}`);
  return `const ${parts.join(', ')};`;
}

function copied(name: string, specifier: string): string {
  return (
    `const ${name} = require(${JSON.stringify(specifier)}); for (const k of Object.keys(${name})) ` +
    `if (k !== "default" && !(k in exports)) ` +
    `Object.defineProperty(exports, k, { get: () => ${name}[k], enumerable: true });`
  );
}

/** `import d, { a as b }` and `import d, * as n`, as esbuild prints them. */
function clauseOf(text: string): Clause {
  const head = text.replace(/^import\s*/, '').replace(/\s*(?:from\s*)?["']$/, '');
  const names: [string, string][] = [];
  const [, inBraces = ''] = /\{([\s\S]*)\}/.exec(head) ?? [];
  for (const part of inBraces.split(',')) {
    const [, from, local] =
      /^\s*("(?:[^"\\]|\\.)*"|[\w$]+)(?:\s+as\s+([\w$]+))?\s*$/.exec(part) ?? [];
    if (from === undefined) continue;
    names.push([from.startsWith('"') ? unquote(from) : from, local ?? from]);
  }
  const [, fallback] = /^([\w$]+)/.exec(head) ?? [];
  if (fallback !== undefined) names.push(['default', fallback]);
  const [, star] = /\*\s*as\s+([\w$]+)/.exec(head) ?? [];
  return star === undefined ? { names } : { names, star };
}

function newlines(text: string): string {
  return '\n'.repeat(text.split('\n').length - 1);
}

function shifted(offset: number, edits: readonly Edit[]): number {
  let moved = offset;
  for (const edit of edits) {
    if (edit.start < offset) moved += edit.text.length - (edit.end - edit.start);
  }
  return moved;
}
