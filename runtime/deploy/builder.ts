import type { Compiler } from './compiler.ts';
import { displayPath, fileKind, isInside, isServiceFile } from './file-kind.ts';
import type { Graph } from './graph.ts';
import { stemOf } from './resolution.ts';
import type { Batch, Reading, Source } from './source.ts';
import type { DeployFailure } from './unit.ts';
import { yielding } from './yielding.ts';

export interface BuilderOptions {
  readonly projectDir: string;
  readonly servicesDir: string;
  readonly compiler: Compiler;
  /** Reads a file, once it stands still, and keeps watching it. */
  readonly adopt: (path: string) => Promise<Reading>;
}

const parallel = 8;

/** Brings a graph up to date with what changed on disk. */
export class Builder {
  readonly #options: BuilderOptions;

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  isRoot(path: string): boolean {
    return isInside(this.#options.servicesDir, path) && isServiceFile(path);
  }

  /** Compiles what the batch touches and all that turns out to be needed, and `again`; returns the paths it touched. */
  async update(graph: Graph, batch: Batch, again: Iterable<string> = []): Promise<Set<string>> {
    const pass = new Pass(this.#options, graph);
    this.#options.compiler.nextPass();
    for (const [path, failure] of batch.refused) {
      if (this.#matters(graph, path)) pass.fail(path, failure);
    }
    for (const path of batch.removed) this.#remove(graph, path, pass);
    for (const source of batch.changed.values()) this.#change(graph, source, pass);
    for (const path of graph.wanting(stemsOf(graph, batch))) pass.again(path);
    for (const path of again) pass.again(path);
    await pass.run();
    return pass.touched;
  }

  /** Drops what no service file needs any more; returns the dropped. */
  prune(graph: Graph): string[] {
    const needed = graph.below([...graph.paths()].filter((path) => this.isRoot(path)));
    const unneeded = [...graph.paths()].filter((path) => !needed.has(path));
    for (const path of unneeded) graph.delete(path);
    return unneeded;
  }

  #matters(graph: Graph, path: string): boolean {
    return this.isRoot(path) || graph.get(path) !== undefined;
  }

  #remove(graph: Graph, path: string, pass: Pass): void {
    if (graph.get(path) === undefined) return;
    for (const user of graph.users(path)) pass.again(user);
    graph.delete(path);
    pass.touched.add(path);
  }

  #change(graph: Graph, source: Source, pass: Pass): void {
    if (!this.#matters(graph, source.path)) return;
    if (fileKind(source.path) === 'code') {
      pass.compile(source);
      return;
    }
    graph.set({ path: source.path, hash: source.hash, wants: [] });
    for (const user of graph.users(source.path)) pass.again(user);
  }
}

/** Files that came or went change what imports mean; a file that was there and still is does not. */
function stemsOf(graph: Graph, batch: Batch): Set<string> {
  const came = [...batch.changed.keys()].filter((path) => graph.get(path)?.compiled === undefined);
  return new Set([...came, ...batch.removed].map(stemOf));
}

/** One walk over the graph: each file is read and compiled at most once. */
class Pass {
  readonly touched = new Set<string>();
  readonly #options: BuilderOptions;
  readonly #graph: Graph;
  readonly #sources = new Map<string, Source>();
  readonly #readings = new Map<string, Promise<Reading>>();
  readonly #queue: string[] = [];
  readonly #queued = new Set<string>();

  constructor(options: BuilderOptions, graph: Graph) {
    this.#options = options;
    this.#graph = graph;
  }

  compile(source: Source): void {
    this.#sources.set(source.path, source);
    this.again(source.path);
  }

  again(path: string): void {
    if (this.#queued.has(path)) return;
    this.#queued.add(path);
    this.#queue.push(path);
  }

  fail(path: string, failure: DeployFailure, wants = this.#graph.get(path)?.wants ?? []): void {
    this.touched.add(path);
    this.#graph.set({ path, hash: '', failure, wants });
  }

  async run(): Promise<void> {
    const pause = yielding();
    // What a round finds to be needed is the next round.
    while (this.#queue.length > 0) {
      const round = this.#queue.splice(0);
      const hands = Array.from({ length: Math.min(parallel, round.length) }, async () => {
        for (let path = round.pop(); path !== undefined; path = round.pop()) {
          await this.#compile(path);
          await pause();
        }
      });
      await Promise.all(hands);
    }
  }

  async #compile(path: string): Promise<void> {
    const reading = await this.#read(path);
    if ('absent' in reading) return this.#gone(path);
    if ('failure' in reading) return this.fail(path, reading.failure);
    const { source } = reading;
    const result = await this.#options.compiler.compile(source, (other) => this.#read(other));
    if ('failure' in result) return this.fail(path, result.failure, result.wants);
    const { compiled } = result;
    this.touched.add(path);
    this.#graph.set({ path, hash: compiled.unit.hash, compiled, wants: compiled.wants });
    for (const used of compiled.inlined) await this.#inline(used);
    for (const used of compiled.unit.imports) {
      if (this.#graph.get(used)?.compiled === undefined) this.again(used);
    }
  }

  async #inline(path: string): Promise<void> {
    const reading = await this.#read(path);
    if ('source' in reading) this.#graph.set({ path, hash: reading.source.hash, wants: [] });
  }

  #read(path: string): Promise<Reading> {
    const source = this.#sources.get(path);
    if (source !== undefined) return Promise.resolve({ source });
    const known = this.#readings.get(path) ?? this.#options.adopt(path);
    this.#readings.set(path, known);
    return known;
  }

  #gone(path: string): void {
    const file = displayPath(this.#options.projectDir, path);
    this.fail(path, { file, kind: 'read', message: `${file} is gone` });
  }
}
