import { parse } from 'es-module-lexer';

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Makes `import()` a free name that the loader provides, and reads packages as the namespaces they come as. */
export function rewriteCalls(code: string): string {
  const edits: Edit[] = [];
  for (const found of parse(code)[0]) {
    // -1 is a static import, -2 is import.meta.
    if (found.d >= 0)
      edits.push({ start: found.ss, end: found.ss + 'import'.length, text: '__import' });
  }
  return applyEdits(code, edits).replace(
    // In Node's interop the default export would be the namespace. Blanks keep the columns.
    /(__toESM\(require\("(?:[^"\\]|\\.)*"\)), 1\)/g,
    '$1   )',
  );
}

export function applyEdits(code: string, edits: readonly Edit[]): string {
  let out = '';
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start)) {
    out += code.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return out + code.slice(at);
}
