import type { StandinMessage } from '../runtime/admin/api.ts';
import { PushoverStandin } from './pushover/standin.ts';

export interface StandinOptions {
  readonly port?: number;
  readonly host?: string;
  readonly onMessage?: (message: StandinMessage) => void;
}

/** A local server that answers instead of a real system. */
export interface Standin {
  /** Resolves with its URL once it listens. */
  start(): Promise<string>;
  stop(): Promise<void>;
  /** What would have been sent, newest first. */
  messages(): readonly StandinMessage[];
  clear(): void;
}

/** The stand-ins there are, by name. */
export const standins: ReadonlyMap<string, (options?: StandinOptions) => Standin> = new Map([
  ['pushover', (options: StandinOptions = {}) => new PushoverStandin(options)],
]);
