import { SourceMap, type SourceMapPayload } from 'node:module';
import { describePlace } from '../deploy/describe-failure.ts';
import { locateIn, type Place } from '../deploy/source-maps.ts';
import type { Prepared, Root, Transaction } from '../deploy/unit.ts';
import { fileOf, type StuckPlace } from '../process/stuck-place.ts';

type RootFailure = Prepared['failures'][number];

export interface LoadDeath {
  /** What the worker was evaluating. */
  readonly root: Root;
  /** Ended for not answering, and where it was then. */
  readonly hung: boolean;
  readonly stuckAt: StuckPlace | undefined;
  readonly patienceMs: number;
  /** Where the code came from, the newest first. */
  readonly transactions: readonly Transaction[];
}

/** Why a root failed that ended or hung its worker: for a loop, with its place in the source. */
export async function deathBy({
  root: { path, file },
  hung,
  stuckAt,
  patienceMs,
  transactions,
}: LoadDeath): Promise<RootFailure> {
  if (!hung) {
    const message = 'It ended its process while loading: process.exit, or a crash';
    return { path, file, kind: 'exit', message };
  }
  const message = `It did not finish loading in ${patienceMs} ms: an endless loop?`;
  const place = stuckAt && sourcePlace(stuckAt, transactions);
  return { path, file, kind: 'timeout', message, ...(place && (await describePlace(place))) };
}

function sourcePlace(stuckAt: StuckPlace, transactions: readonly Transaction[]): Place | undefined {
  const file = fileOf(stuckAt);
  for (const { units } of transactions) {
    const source = units.find((candidate) => candidate.file === file);
    if (!source) continue;
    const map = new SourceMap(JSON.parse(source.map) as SourceMapPayload);
    const found = locateIn(map, stuckAt.line, stuckAt.column);
    return found && { source, ...found };
  }
  return undefined;
}
