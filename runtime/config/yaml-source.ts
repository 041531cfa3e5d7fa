import {
  type Document,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  visit,
  type YAMLError,
} from 'yaml';

export interface SourceProblem {
  readonly offset: number;
  readonly message: string;
}

/** A YAML text, its values, and where each of them stands. */
export class YamlSource {
  readonly problems: SourceProblem[] = [];
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      // Not `silent`: that would drop a second document without a word.
      logLevel: 'error',
      merge: true,
    });
    for (const error of [...this.#document.errors, ...this.#document.warnings]) {
      this.problems.push({ offset: error.pos[0], message: this.#messageOf(error) });
    }
  }

  /** False when it is not YAML at all, so that its values mean nothing. */
  get readable(): boolean {
    return this.#document.errors.every(({ code }) => code === 'DUPLICATE_KEY');
  }

  /** Puts other text in the place of each string; `replace` may report a problem at its place. */
  replaceStrings(replace: (text: string, problem: (message: string) => void) => string): void {
    visit(this.#document, {
      Scalar: (key, node: Scalar) => {
        if (key === 'key' || typeof node.value !== 'string') return;
        node.value = replace(node.value, (message) => {
          this.problems.push({ offset: node.range?.[0] ?? 0, message });
        });
      },
    });
  }

  /** The values, aliases resolved. Undefined, and a problem, when they cannot be: a bomb, a loop. */
  value(): unknown {
    try {
      const value: unknown = this.#document.toJS({ maxAliasCount: 100 });
      // A loop of aliases cannot be stored.
      JSON.stringify(value);
      return value;
    } catch (error) {
      const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      this.problems.push({ offset: 0, message });
      return undefined;
    }
  }

  /** Where the value at this path begins, or its key; the nearest place around it when it is missing. */
  offsetOf(path: readonly (string | number)[], atKey = false): number {
    let node: unknown = this.#document.contents;
    let offset = startOf(node) ?? 0;
    for (const [index, key] of path.entries()) {
      const found = this.#step(node, key);
      if (!found) return offset;
      const last = index === path.length - 1;
      // A container's place is its key: that is where a reader looks for what is missing in it.
      const scalar = last && !atKey && isScalar(found.node) ? startOf(found.node) : undefined;
      offset = scalar ?? found.keyOffset ?? offset;
      node = found.node;
    }
    return offset;
  }

  /** `31:5`, both from 1. */
  place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${Math.max(line, 1)}:${Math.max(col, 1)}`;
  }

  #step(
    node: unknown,
    key: string | number,
  ): { readonly node: unknown; readonly keyOffset: number | undefined } | undefined {
    const at = this.#resolve(node);
    if (isMap(at)) {
      const pair = at.items.find((item) => isPair(item) && keyText(item) === String(key));
      return pair && { node: pair.value, keyOffset: startOf(pair.key) };
    }
    const items = typeof at === 'object' && at !== null && 'items' in at ? at.items : undefined;
    if (!Array.isArray(items) || typeof key !== 'number' || key >= items.length) return undefined;
    return { node: items[key], keyOffset: startOf(items[key]) };
  }

  #resolve(node: unknown): unknown {
    if (typeof node !== 'object' || node === null || !('resolve' in node)) return node;
    return typeof node.resolve === 'function' ? node.resolve(this.#document) : node;
  }

  #messageOf({ code, message, pos: [start] }: YAMLError): string {
    if (code === 'MULTIPLE_DOCS') return 'a second document begins: a file is one document';
    if (code !== 'DUPLICATE_KEY') return message;
    const key = /^("[^"\n]*"|'[^'\n]*'|[^:\s]+)/.exec(this.#text.slice(start, start + 200))?.[0];
    return `the key ${key ?? ''} is given twice`;
  }
}

function keyText(pair: Pair): string {
  return String(isScalar(pair.key) ? pair.key.value : pair.key);
}

function startOf(node: unknown): number | undefined {
  return (node as Partial<Node> | null | undefined)?.range?.[0];
}
