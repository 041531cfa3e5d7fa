import { displayPath, isInside } from './file-kind.ts';
import type { Signature, Snapshot } from './snapshot.ts';
import { sameSignature, signatureOf } from './snapshot.ts';
import type { Batch, Reading, Source } from './source.ts';
import { look, type StabilityOptions, type Watched } from './stability.ts';
import type { DeployFailure } from './unit.ts';

export interface SettlerOptions extends Partial<StabilityOptions> {
  /** Real paths. */
  readonly projectDir: string;
  readonly servicesDir: string;
  /** A batch goes out at the latest so long after its first file settled. */
  readonly capMs?: number;
  /** chokidar drops the last of two quick writes, so each path is looked at once more after so long. */
  readonly recheckMs?: number;
  readonly onBatch: (batch: Batch) => void;
}

interface Known {
  readonly signature: Signature;
  /** Undefined for a file that was refused. */
  readonly hash?: string;
}

interface Dirty extends Watched {
  dueAt: number;
  readonly since: number;
}

type Settled = Reading & { readonly since: number };

const firstLookMs = 3;
const parallelLooks = 16;
const longestAdoptionMs = 2_000;

/** Turns hints that files may have changed into batches of files that certainly did, and stand still. */
export class Settler {
  readonly #options: SettlerOptions;
  readonly #stability: StabilityOptions;
  readonly #capMs: number;
  readonly #recheckMs: number;
  readonly #known = new Map<string, Known>();
  readonly #dirty = new Map<string, Dirty>();
  readonly #ready = new Map<string, Settled>();
  readonly #rechecks = new Map<string, number>();
  #readySince = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #stopped = false;

  constructor(options: SettlerOptions) {
    const { quietMs = 20, emptyMs = 300, absentMs = 150, capMs = 250, recheckMs = 60 } = options;
    this.#options = options;
    this.#stability = { quietMs, emptyMs, absentMs };
    this.#capMs = capMs;
    this.#recheckMs = recheckMs;
  }

  /** Something may have happened to this path. */
  touch(path: string): void {
    this.#mark(path);
    this.#rechecks.set(path, Date.now() + this.#recheckMs);
  }

  /** Touches those whose file is not what was last read; true when there is one, or one is still settling. */
  touchStale(paths: Iterable<string>): boolean {
    const folders = new Map<string, string>();
    let stale = false;
    for (const path of paths) {
      const known = this.#known.get(path);
      if (known === undefined) continue;
      if (!matches(known, signatureOf(path, folders))) this.touch(path);
      stale ||= this.#dirty.has(path) || this.#ready.has(path);
    }
    return stale;
  }

  /** Touches those that are new, gone or not what was last read. */
  compare(paths: Iterable<string>): void {
    const folders = new Map<string, string>();
    for (const path of paths) {
      const known = this.#known.get(path);
      if (known === undefined || !matches(known, signatureOf(path, folders))) this.touch(path);
    }
  }

  /** Reads a file now, waiting until it stands still, and keeps track of it from here on. */
  async adopt(path: string): Promise<Reading> {
    const watched: Watched = { sameSince: 0 };
    const until = Date.now() + longestAdoptionMs;
    while (!this.#stopped) {
      const seen = await look(path, watched, this.#stability);
      if (seen.kind === 'settled') return this.#accept(path, seen.signature, seen.snapshot).reading;
      if (seen.kind !== 'wait' || watched.absentSince !== undefined) break;
      if (Date.now() > until) break;
      await new Promise((resolve) => setTimeout(resolve, seen.ms));
    }
    return { absent: true };
  }

  /** The bytes are on disk because we wrote them: they need not stand still first. */
  record(path: string, source: Source): void {
    const signature = signatureOf(path);
    if (signature !== undefined) this.#known.set(path, { signature, hash: source.hash });
  }

  forget(path: string): void {
    this.#known.delete(path);
    this.#rechecks.delete(path);
  }

  knows(path: string): boolean {
    return this.#known.has(path);
  }

  paths(): Iterable<string> {
    return this.#known.keys();
  }

  /** Links whose target may move without an event at the link. */
  links(): string[] {
    return [...this.#known]
      .filter(([path, known]) => known.signature.real !== path)
      .map(([path]) => path);
  }

  /** The file that is read at this real path: itself, or the link that leads there. */
  identify(real: string): string {
    if (this.#known.has(real)) return real;
    for (const [path, known] of this.#known) if (known.signature.real === real) return path;
    return real;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#dirty.clear();
    this.#ready.clear();
    this.#rechecks.clear();
  }

  #mark(path: string): void {
    if (this.#stopped) return;
    const now = Date.now();
    const before = this.#dirty.get(path);
    // A new object each time: a look that is under way then knows that it is out of date.
    this.#dirty.set(path, {
      sameSince: now,
      since: now,
      ...before,
      dueAt: Math.min(before?.dueAt ?? Number.POSITIVE_INFINITY, now + firstLookMs),
    });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#stopped || this.#looking) return;
    let dueAt = Number.POSITIVE_INFINITY;
    for (const dirty of this.#dirty.values()) dueAt = Math.min(dueAt, dirty.dueAt);
    for (const at of this.#rechecks.values()) dueAt = Math.min(dueAt, at);
    if (this.#ready.size > 0) dueAt = Math.min(dueAt, this.#readySince + this.#capMs);
    clearTimeout(this.#timer);
    if (dueAt === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => void this.#turn(), Math.max(0, dueAt - Date.now()));
  }

  async #turn(): Promise<void> {
    this.#looking = true;
    try {
      this.#recheck();
      const now = Date.now();
      const due = [...this.#dirty].filter(([, dirty]) => dirty.dueAt <= now);
      for (let at = 0; at < due.length; at += parallelLooks) {
        const some = due.slice(at, at + parallelLooks);
        await Promise.all(some.map(([path, dirty]) => this.#look(path, dirty)));
      }
      this.#flush();
    } finally {
      this.#looking = false;
      this.#schedule();
    }
  }

  #recheck(): void {
    const now = Date.now();
    const due = [...this.#rechecks].filter(([, at]) => at <= now);
    for (const [path] of due) {
      this.#rechecks.delete(path);
      const signature = signatureOf(path);
      const known = this.#known.get(path);
      const same = known === undefined ? signature === undefined : matches(known, signature);
      if (!same) this.#mark(path);
    }
  }

  async #look(path: string, dirty: Dirty): Promise<void> {
    const known = this.#known.get(path);
    const seen = await look(path, dirty, this.#stability, known?.signature);
    if (this.#dirty.get(path) !== dirty) return;
    // What was never there to anyone cannot go: no need to wait for it.
    const neverKnown = dirty.absentSince !== undefined && known === undefined;
    if (seen.kind === 'wait' && !neverKnown) {
      dirty.dueAt = Date.now() + seen.ms;
      return;
    }
    this.#dirty.delete(path);
    if (seen.kind === 'settled') this.#settle(path, seen.signature, seen.snapshot, dirty.since);
    else if (seen.kind === 'absent') this.#remove(path, dirty.since);
  }

  #settle(
    path: string,
    signature: Signature,
    snapshot: Exclude<Snapshot, { kind: 'moving' }>,
    since: number,
  ): void {
    const { reading, news } = this.#accept(path, signature, snapshot);
    if (news) this.#add(path, { ...reading, since });
  }

  #remove(path: string, since: number): void {
    if (!this.#known.delete(path)) return;
    this.#add(path, { absent: true, since });
  }

  #add(path: string, settled: Settled): void {
    if (this.#ready.size === 0) this.#readySince = Date.now();
    const since = Math.min(settled.since, this.#ready.get(path)?.since ?? settled.since);
    this.#ready.set(path, { ...settled, since });
  }

  #accept(
    path: string,
    signature: Signature,
    snapshot: Exclude<Snapshot, { kind: 'moving' }>,
  ): { readonly reading: Reading; readonly news: boolean } {
    const before = this.#known.get(path);
    const file = displayPath(this.#options.projectDir, path);
    const out = this.#leadsOut(path, signature);
    if (out !== undefined || snapshot.kind === 'refused') {
      this.#known.set(path, { signature });
      const reason = out ?? (snapshot.kind === 'refused' ? snapshot.reason : '');
      const failure: DeployFailure = { file, kind: 'read', message: `${file} ${reason}` };
      return { reading: { failure }, news: true };
    }
    const { bytes, hash } = snapshot;
    this.#known.set(path, { signature, hash });
    const source: Source = { path, real: signature.real, file, bytes, hash };
    return { reading: { source }, news: before?.hash !== hash };
  }

  #leadsOut(path: string, signature: Signature): string | undefined {
    const { projectDir, servicesDir } = this.#options;
    if (signature.real === path) return undefined;
    const folder = isInside(servicesDir, path) ? servicesDir : projectDir;
    if (isInside(folder, signature.real)) return undefined;
    return `is a link that leads out of ${folder === servicesDir ? 'the services folder' : 'the project'}`;
  }

  #flush(): void {
    if (this.#ready.size === 0) return;
    if (this.#dirty.size > 0 && Date.now() < this.#readySince + this.#capMs) return;
    const changed = new Map<string, Source>();
    const removed = new Set<string>();
    const refused = new Map<string, DeployFailure>();
    let since = Number.POSITIVE_INFINITY;
    for (const [path, settled] of this.#ready) {
      // It moves again: it goes with the batch in which it stands still.
      if (this.#dirty.has(path)) continue;
      this.#ready.delete(path);
      since = Math.min(since, settled.since);
      if ('source' in settled) changed.set(path, settled.source);
      else if ('failure' in settled) refused.set(path, settled.failure);
      else removed.add(path);
    }
    this.#readySince = Date.now();
    if (since === Number.POSITIVE_INFINITY) return;
    this.#options.onBatch({ changed, removed, refused, since });
  }
}

function matches(known: Known, signature: Signature | undefined): boolean {
  return signature !== undefined && sameSignature(known.signature, signature);
}
