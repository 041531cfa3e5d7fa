import type { Redrive } from '../delivery/redrive.ts';
import type { DeployReport } from '../deploy/unit.ts';
import type { LogQuery, LogRecord } from '../log/log-hub.ts';
import type { Broker } from '../pubsub/broker.ts';
import type { MessageState } from '../pubsub/message.ts';
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
import type {
  JourneyView,
  PublishReply,
  PublishRequest,
  PurgeRequest,
  QueuedView,
  QueueView,
  RedriveReply,
  RedriveRequest,
  TakeRequest,
} from './message-api.ts';
import type { RawMessage } from './message-views.ts';
import type { PageQuery } from './page.ts';
import type { ManualRun, ScheduleView } from './schedule-api.ts';

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

/** As `Broker` has it. */
export type BrokerPort = Pick<
  Broker,
  'publish' | 'take' | 'ack' | 'reject' | 'depth' | 'browse' | 'find' | 'remove' | 'purge'
>;

/** What a message to a defined topic must keep to, and gets where it does not say itself. */
export interface TopicRules {
  readonly enabled?: boolean;
  /** In bytes. */
  readonly maxSize?: number;
  readonly expirationMs?: number;
  readonly priority?: number;
}

/** What an administrator publishes, its data as bytes. */
export interface OperatorMessage extends Omit<PublishRequest, 'data' | 'text' | 'base64'> {
  readonly data: Buffer;
  readonly contentType: string;
  readonly cid: string;
}

export interface MessagesPort {
  publish(message: OperatorMessage): Promise<PublishReply>;
  /** @throws Fault `not-found`. */
  show(msgId: string): Promise<RawMessage>;
}

/** Messages that were taken, until it is known whether they arrived. */
export interface Taken {
  readonly messages: readonly RawMessage[];
  /** They leave the queue when they were written whole, else they go back. Never rejects. */
  settle(written: boolean): Promise<void>;
}

export interface QueueQuery extends PageQuery {
  /** Only the enabled ones that get this topic. */
  readonly topic?: string;
}

export interface BrowseQuery extends PageQuery {
  /** Default: one state after the other. */
  readonly state?: MessageState;
  /** Only messages of this topic. */
  readonly topic?: string;
}

/** Each names a subscription, or its subKey, and throws Fault `not-found` where there is none. */
export interface QueuesPort {
  list(query: QueueQuery): Promise<Page<QueueView>>;
  show(subscription: string): Promise<QueueView>;
  messages(subscription: string, query: BrowseQuery): Promise<Page<QueuedView>>;
  take(subscription: string, request: TakeRequest, signal: AbortSignal): Promise<Taken>;
  remove(subscription: string, msgId: string): Promise<void>;
  /** @returns how many are gone. */
  purge(subscription: string, request: PurgeRequest): Promise<number>;
  /** Ends early when the signal says so. */
  redrive(
    subscription: string,
    request: RedriveRequest,
    signal: AbortSignal,
  ): Promise<RedriveReply>;
}

/** As `Redrive` has it. */
export type RedrivePort = Pick<Redrive, 'run'>;

export interface JourneysPort {
  /** By correlation id or message id. @throws Fault `not-found`. */
  find(id: string): Promise<JourneyView>;
}

/** Each names a schedule, and throws Fault `not-found` where there is none. */
export interface SchedulesPort {
  list(query: PageQuery): Promise<Page<ScheduleView>>;
  show(name: string): Promise<ScheduleView>;
  /**
   * Runs it now; `wait` for how it ended.
   * @throws Fault `conflict` while it runs, `timeout` when it does not end while one waits.
   */
  run(name: string, options: { readonly cid: string; readonly wait: boolean }): Promise<ManualRun>;
}
