import type { Page } from '../runtime/admin/api.ts';
import { exactText, plainNumbers } from './exact-json.ts';
import { cell, count } from './format.ts';

export const formats = ['table', 'wide', 'json', 'ndjson', 'yaml', 'name'] as const;

export type Format = (typeof formats)[number];

export interface Column<T> {
  readonly head: string;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
  readonly right?: boolean;
  cell(item: T): string;
}

export interface Listing<T> {
  readonly columns: readonly Column<T>[];
  /** What `-o name` prints. */
  name(item: T): string;
  /** The plural, for an empty list. */
  readonly noun: string;
}

export interface Shown {
  /** What `-o name` prints. */
  readonly name: string;
  /** For people. */
  text(): string | Promise<string>;
}

export interface OutputOptions {
  readonly format: Format;
  readonly quiet: boolean;
}

/** Data goes to stdout in the format asked for; everything else goes to stderr. */
export class Output {
  readonly format: Format;
  readonly #quiet: boolean;

  constructor(options: OutputOptions) {
    this.format = options.format;
    this.#quiet = options.quiet;
  }

  /** True when a person reads it, not a program. */
  get forPeople(): boolean {
    return this.format === 'table' || this.format === 'wide';
  }

  data(text: string): void {
    process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Progress, hints and warnings; silent with -q. */
  hint(text: string): void {
    if (!this.#quiet) process.stderr.write(`${text}\n`);
  }

  async page<T>(page: Page<T>, listing: Listing<T>): Promise<void> {
    if (this.format === 'name') return this.#lines(page.items.map((item) => listing.name(item)));
    if (this.format === 'ndjson') return this.#lines(page.items.map((item) => json(item)));
    if (!this.forPeople) return this.data(await this.#structured(page));
    if (page.items.length === 0) return this.hint(`no ${listing.noun}`);
    this.data(await this.#grid(page.items, listing.columns));
    if (page.total > page.items.length) {
      this.hint(
        `${count(page.items.length)} of ${count(page.total)} · more: --limit ${page.total}`,
      );
    }
  }

  async one(value: unknown, shown: Shown): Promise<void> {
    if (this.format === 'name') return this.data(shown.name);
    if (!this.forPeople) return this.data(await this.#structured(value));
    this.data(await shown.text());
  }

  /** One line for what was done, or what now is, for a program. */
  async done(sentence: string, name: string, value: unknown): Promise<void> {
    if (this.forPeople && this.#quiet) return;
    await this.one(value, { name, text: () => sentence });
  }

  /** `key  value` lines; nested keys are dotted. */
  async facts(value: object, skip: readonly string[] = []): Promise<string> {
    const { table } = await import('./table.ts');
    return table({ rows: flat(value).filter(([key = '']) => !skip.includes(key)) });
  }

  #lines(lines: readonly string[]): void {
    if (lines.length > 0) this.data(lines.join('\n'));
  }

  async #grid<T>(items: readonly T[], all: readonly Column<T>[]): Promise<string> {
    const columns = all.filter((column) => this.format === 'wide' || column.wide !== true);
    const { table } = await import('./table.ts');
    return table({
      head: columns.map((column) => column.head),
      rows: items.map((item) => columns.map((column) => column.cell(item))),
      right: columns.flatMap((column, at) => (column.right === true ? [at] : [])),
    });
  }

  async #structured(value: unknown): Promise<string> {
    if (this.format === 'ndjson') return json(value);
    if (this.format === 'json') return json(value, 2);
    const { toYaml } = await import('./yaml.ts');
    return toYaml(plainNumbers(value));
  }
}

/** JSON text; `null` where there is no value, so that stdout is always JSON. */
export function json(value: unknown, indent?: number): string {
  return exactText(JSON.stringify(value ?? null, undefined, indent));
}

function flat(value: object, prefix = ''): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]): [string, string][] =>
    isGroup(inner) ? flat(inner, `${prefix}${key}.`) : [[`${prefix}${key}`, cell(inner)]],
  );
}

function isGroup(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).length > 0;
}
