import { parseDuration } from '../core/duration.ts';

/** What a request to a client of a WebSocket channel may say. */
export interface WsxInvokeOptions {
  /** How long to wait for the answer: `'5s'`, or ms. Default 5 s. */
  readonly timeout?: string | number;
}

/** A client that is logged in to a WebSocket channel. */
export interface WsxClient {
  /** Of this connection alone: `ws.` and 24 hex digits. */
  readonly pubClientId: string;
  /** As the client calls itself; '' when it does not say. */
  readonly clientId: string;
  readonly clientName: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** Name of the channel. */
  readonly channel: string;
  /** Name of the security definition that let it in; undefined where everyone may come. */
  readonly user: string | undefined;
}

/** The client that called a service, and a way back to it. */
export interface Wsx extends WsxClient {
  /**
   * Sends the client a request and resolves with what it answers.
   * @throws Fault `timeout` when it does not, `unavailable` when it is gone or does not read.
   */
  invoke<T = unknown>(request: unknown, options?: WsxInvokeOptions): Promise<T>;
  /** Sends a request to all clients of the same channel, this one included; nobody waits for answers. */
  broadcast(request: unknown): number;
  /** Closes the connection: code 4005. */
  disconnect(reason?: string): void;
}

/** The clients of this worker's WebSocket channels, for services that may be called by anyone. */
export interface WsxClients {
  /** Of one channel, or of all. */
  list(channel?: string): readonly WsxClient[];
  /** @throws Fault `not-found` when no such client is connected here; else as {@link Wsx.invoke}. */
  invoke<T = unknown>(
    pubClientId: string,
    request: unknown,
    options?: WsxInvokeOptions,
  ): Promise<T>;
  /** Asks each client that has all these attributes; resolves when all have answered or failed. */
  invokeByAttrs(
    attrs: Readonly<Record<string, string>>,
    request: unknown,
    options?: WsxInvokeOptions & { readonly channel?: string },
  ): Promise<readonly WsxAnswer[]>;
  /** Sends a request to all clients of a channel and gives their number; nobody waits for answers. */
  broadcast(channel: string, request: unknown): number;
  /** Whether there was such a client. */
  disconnect(pubClientId: string, reason?: string): boolean;
}

/** What one of several clients answered; one that did not has an error instead. */
export interface WsxAnswer {
  readonly client: WsxClient;
  readonly response?: unknown;
  readonly error?: Error;
}

/** One logged-in connection, as those see it who send over it. */
export interface WsxSession {
  /** The client's `pubClientId`. */
  readonly id: string;
  readonly channel: string;
  readonly clientId: string;
  readonly clientName: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** Name of the security definition that let the client in. */
  readonly security: string | undefined;
  readonly open: boolean;
  /** Bytes that are not yet handed to the system. */
  readonly bufferedAmount: number;
  /** False while more is buffered than the limit: then `send` refuses. */
  readonly writable: boolean;
  /**
   * Sends a frame: an object as its JSON, a text as it is. False when it was not taken, because the
   * session is closed or not writable; then `sent` is never called.
   * @param sent called once: the system has taken the frame, or the connection broke before
   */
  send(frame: object | string, sent?: (error?: Error) => void): boolean;
  /** Called each time it becomes writable again. Gives what ends the listening. */
  onWritable(listener: () => void): () => void;
  /** Called once, with the close code; at once when it is closed already. Gives what ends the listening. */
  onClose(listener: (code: number) => void): () => void;
  close(code: number, reason: string): void;
  /** As {@link Wsx.invoke}. */
  invoke(request: unknown, timeoutMs: number): Promise<unknown>;
  /** As {@link Wsx.broadcast}. */
  broadcast(request: unknown): number;
}

const defaultTimeoutMs = 5_000;
/** Zato 3.2's close code of a forced disconnect. */
const disconnected = 4005;

export function wsxTimeoutMs({ timeout }: WsxInvokeOptions = {}): number {
  return timeout === undefined ? defaultTimeoutMs : parseDuration(timeout);
}

/** A session as services see it. */
export function clientOf({
  id,
  clientId,
  clientName,
  attrs,
  channel,
  security,
}: WsxSession): WsxClient {
  return { pubClientId: id, clientId, clientName, attrs, channel, user: security };
}

/** The client that called, as its service sees it. */
export function wsxOf(session: WsxSession): Wsx {
  return {
    ...clientOf(session),
    invoke: async <T>(request: unknown, options?: WsxInvokeOptions) =>
      (await session.invoke(request, wsxTimeoutMs(options))) as T,
    broadcast: (request) => session.broadcast(request),
    disconnect: (reason = 'Disconnected by a service') => session.close(disconnected, reason),
  };
}
