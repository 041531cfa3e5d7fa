import type { Live } from './live.ts';

/** A service file that claims a name another one keeps. */
export interface NameConflict {
  readonly name: string;
  /** Path of the file that keeps it. */
  readonly holder: string;
}

/**
 * Which of the new files must wait, by path. Whoever serves a name keeps it while it still claims it;
 * among newcomers the first by path gets it.
 */
export function nameConflicts(
  claims: ReadonlyMap<string, readonly string[]>,
  live: Live,
  undeploy: ReadonlySet<string>,
): Map<string, NameConflict> {
  const losers = new Map<string, NameConflict>();
  // A loser that served goes back to its old names, which may be what another claims: once more.
  for (let before = -1; before !== losers.size; ) {
    before = losers.size;
    const taken = namesKept(claims, live, undeploy, losers);
    for (const path of [...claims.keys()].sort()) {
      if (!losers.has(path)) claim(path, claims.get(path) ?? [], taken, losers);
    }
  }
  return losers;
}

/** Names that serve now and go on doing so, and the files that have them. */
function namesKept(
  claims: ReadonlyMap<string, readonly string[]>,
  live: Live,
  undeploy: ReadonlySet<string>,
  losers: ReadonlyMap<string, NameConflict>,
): Map<string, string> {
  const taken = new Map<string, string>();
  for (const path of live.paths()) {
    if (undeploy.has(path)) continue;
    const next = losers.has(path) ? undefined : claims.get(path);
    for (const name of live.namesOf(path)) {
      if (next === undefined || next.includes(name)) taken.set(name, path);
    }
  }
  return taken;
}

function claim(
  path: string,
  names: readonly string[],
  taken: Map<string, string>,
  losers: Map<string, NameConflict>,
): void {
  const name = names.find((each) => (taken.get(each) ?? path) !== path);
  if (name !== undefined) losers.set(path, { name, holder: taken.get(name) ?? path });
  else for (const each of names) taken.set(each, path);
}
