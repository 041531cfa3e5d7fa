import type { DeployReport } from '../deploy/unit.ts';
import type { LogQuery, LogRecord } from '../log/log-hub.ts';
import type { PingResult } from '../service/ports.ts';
import type {
  InvocationView,
  InvokeReply,
  InvokeRequest,
  Page,
  Readiness,
  ServiceView,
  StandinMessage,
  Status,
} from './api.ts';

/** What the admin API needs of the services. */
export interface ServicesPort {
  /** In any order. */
  list(): Promise<readonly ServiceView[]>;
  /** With about, history and failure; undefined when there is no such service. */
  show(name: string): Promise<ServiceView | undefined>;
  invoke(name: string, request: InvokeRequest & { readonly cid: string }): Promise<InvokeReply>;
  /** Writes the file, unless it is only a check, and waits for the verdict. */
  deployFile(
    file: string,
    text: string,
    options: { readonly check: boolean },
  ): Promise<DeployReport>;
  /** Newest first. */
  reports(): readonly DeployReport[];
}

interface InvocationQuery {
  readonly state?: InvocationView['state'];
  readonly limit: number;
  readonly after?: string;
}

/** Stored calls. */
export interface InvocationsPort {
  list(query: InvocationQuery): Promise<Page<InvocationView>>;
  /** @throws Fault `not-found`. */
  retry(id: string): Promise<void>;
  /** @throws Fault `not-found`. */
  delete(id: string): Promise<void>;
}

export interface StandinsPort {
  /** Newest first. @throws Fault `not-found`. */
  show(
    name: string,
  ): Promise<{ readonly url: string; readonly messages: readonly StandinMessage[] }>;
  /** Forgets the messages. @throws Fault `not-found`. */
  clear(name: string): Promise<void>;
}

/** As `LogHub` has it. */
export interface LogsPort {
  /** Oldest first. */
  query(query: LogQuery): readonly LogRecord[];
  follow(query: LogQuery, listener: (record: LogRecord) => void): () => void;
}

/** What the whole system gives, beside its parts. */
export interface SystemPort {
  status(): Promise<Status>;
  readiness(): Promise<Readiness>;
  /** Begins to drain and end; returns at once. */
  stop(): void;
}

export interface OutgoingPort {
  /** @throws Fault `not-found`. */
  ping(name: string, cid: string): Promise<PingResult>;
}

export interface KvdbPort {
  /** One Redis command, as its words. */
  command(words: readonly string[]): Promise<unknown>;
}
