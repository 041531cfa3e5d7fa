import { Fault } from '../core/fault.ts';

/** What a file wants done before its version goes: close a socket, end a pool, stop a watcher. */
export type UndeployCallback = () => void | Promise<void>;

type Register = (callback: UndeployCallback) => void;

// The one file being evaluated in this process; evaluation is synchronous, so one is enough.
let evaluating: Register | undefined;
let hosted = false;

/**
 * Runs `callback` once, when this version of the file was replaced or removed and its last call has
 * ended. Call it at the top level of a service file or a helper. Where nothing is ever undeployed,
 * as in an author's own tests, it does nothing.
 * @throws Fault `conflict` when called later than that: the callback would never be run.
 */
export function onUndeploy(callback: UndeployCallback): void {
  if (evaluating) {
    evaluating(callback);
    return;
  }
  if (!hosted) return;
  throw new Fault(
    'conflict',
    'onUndeploy works only while a file is being loaded: call it at the top level, not in a handler',
  );
}

/** Evaluates a file: what it gives to `onUndeploy` meanwhile goes to `register`. */
export function whileEvaluating<T>(register: Register, run: () => T): T {
  const outer = evaluating;
  evaluating = register;
  hosted = true;
  try {
    return run();
  } finally {
    evaluating = outer;
  }
}

/** Whether some file is being evaluated now, synchronously. */
export function isEvaluating(): boolean {
  return evaluating !== undefined;
}
