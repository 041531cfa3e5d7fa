import { parse, parseDocument, stringify } from 'yaml';

/** The only file that knows the YAML library; it is read only when YAML is wanted. */
export function toYaml(value: unknown): string {
  return stringify(value ?? null);
}

export function fromYaml(text: string): unknown {
  return parse(text);
}

export interface YamlProblem {
  readonly message: string;
  /** From 1; absent when the library does not know. */
  readonly place?: { readonly line: number; readonly column: number };
}

/** Calls `onProblem` with the first thing that is wrong, else returns the value. */
export function readYaml(text: string, onProblem: (problem: YamlProblem) => Error): unknown {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error === undefined) return document.toJS();
  const [start] = error.linePos ?? [];
  const message = error.message.split('\n')[0] ?? 'Not YAML';
  throw onProblem(
    start === undefined ? { message } : { message, place: { line: start.line, column: start.col } },
  );
}
