import type { Signature, Snapshot } from './snapshot.ts';
import { readSnapshot, sameSignature, signatureOf } from './snapshot.ts';

export interface StabilityOptions {
  /** A file is read when it has not been written for so long. */
  readonly quietMs: number;
  /** An empty file younger than this is being written: editors truncate first. */
  readonly emptyMs: number;
  /** A deletion counts after so long an absence: editors replace files by renames. */
  readonly absentMs: number;
}

/** What is remembered of a path between two looks. */
export interface Watched {
  absentSince?: number | undefined;
  signature?: Signature | undefined;
  /** Since when its signature has been the same. */
  sameSince: number;
}

export type Look =
  /** Look again in so many ms. */
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'settled';
      readonly signature: Signature;
      readonly snapshot: Exclude<Snapshot, { kind: 'moving' }>;
    }
  /** As `known` says: not read again. */
  | { readonly kind: 'same' };

const movingMs = 5;
const emptyAgainMs = 25;

/** One look at a path: it is absent, still moving, or its bytes can be trusted. */
export async function look(
  path: string,
  watched: Watched,
  options: StabilityOptions,
  known?: Signature,
): Promise<Look> {
  const now = Date.now();
  const signature = signatureOf(path);
  if (signature === undefined) return lookAtAbsence(watched, now, options);
  watched.absentSince = undefined;
  if (known !== undefined && sameSignature(known, signature)) return { kind: 'same' };
  const ms = waitFor(signature, watched, now, options);
  if (ms > 0) return { kind: 'wait', ms };
  const snapshot = await readSnapshot(path, signature);
  if (snapshot.kind === 'moving') return { kind: 'wait', ms: movingMs };
  return { kind: 'settled', signature, snapshot };
}

function lookAtAbsence(watched: Watched, now: number, options: StabilityOptions): Look {
  watched.absentSince ??= now;
  const left = watched.absentSince + options.absentMs - now;
  return left > 0 ? { kind: 'wait', ms: Math.min(left, emptyAgainMs) } : { kind: 'absent' };
}

function waitFor(
  signature: Signature,
  watched: Watched,
  now: number,
  options: StabilityOptions,
): number {
  if (watched.signature === undefined || !sameSignature(watched.signature, signature)) {
    watched.signature = signature;
    watched.sameSince = now;
  }
  const age = quietFor(signature, watched, now);
  if (signature.size === 0 && age < options.emptyMs) return emptyAgainMs;
  return Math.ceil(options.quietMs - age);
}

/** A clock ahead of ours (network mounts) says nothing: then what counts is how long we saw it unchanged. */
function quietFor(signature: Signature, watched: Watched, now: number): number {
  const age = now - signature.mtimeMs;
  return age > -1 ? age : now - watched.sameSince;
}
