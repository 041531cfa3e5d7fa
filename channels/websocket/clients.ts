import { newCid } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import {
  clientOf,
  type WsxAnswer,
  type WsxClient,
  type WsxClients,
  type WsxInvokeOptions,
  type WsxSession,
  wsxTimeoutMs,
} from '../../runtime/service/wsx.ts';
import { closeCode } from './close-code.ts';
import { requestFrame } from './server-frame.ts';

/** The clients that are logged in to this process. */
export class Clients implements WsxClients {
  readonly #byId = new Map<string, WsxSession>();
  readonly #byChannel = new Map<string, Set<WsxSession>>();

  get size(): number {
    return this.#byId.size;
  }

  add(session: WsxSession): void {
    this.#byId.set(session.id, session);
    const sessions = this.#byChannel.get(session.channel) ?? new Set();
    this.#byChannel.set(session.channel, sessions.add(session));
  }

  remove(session: WsxSession): void {
    this.#byId.delete(session.id);
    const sessions = this.#byChannel.get(session.channel);
    sessions?.delete(session);
    if (sessions?.size === 0) this.#byChannel.delete(session.channel);
  }

  list(channel?: string): readonly WsxClient[] {
    return this.#of(channel).map(clientOf);
  }

  async invoke<T = unknown>(
    pubClientId: string,
    request: unknown,
    options?: WsxInvokeOptions,
  ): Promise<T> {
    const session = this.#byId.get(pubClientId);
    if (!session?.open)
      throw new Fault('not-found', `No such WebSocket client here: ${pubClientId}`);
    return (await session.invoke(request, wsxTimeoutMs(options))) as T;
  }

  async invokeByAttrs(
    attrs: Readonly<Record<string, string>>,
    request: unknown,
    options: WsxInvokeOptions & { readonly channel?: string } = {},
  ): Promise<readonly WsxAnswer[]> {
    const timeoutMs = wsxTimeoutMs(options);
    const wanted = Object.entries(attrs);
    const sessions = this.#of(options.channel).filter((session) =>
      wanted.every(([key, value]) => session.attrs[key] === value),
    );
    return await Promise.all(sessions.map((session) => answerOf(session, request, timeoutMs)));
  }

  broadcast(channel: string, request: unknown): number {
    const frame = requestFrame(newCid(), request);
    return this.#of(channel).filter((session) => session.send(frame)).length;
  }

  disconnect(pubClientId: string, reason = 'Disconnected by a service'): boolean {
    const session = this.#byId.get(pubClientId);
    if (!session?.open) return false;
    session.close(closeCode.disconnected, reason);
    return true;
  }

  #of(channel: string | undefined): readonly WsxSession[] {
    const sessions = channel === undefined ? this.#byId.values() : this.#byChannel.get(channel);
    return [...(sessions ?? [])].filter(({ open }) => open);
  }
}

async function answerOf(
  session: WsxSession,
  request: unknown,
  timeoutMs: number,
): Promise<WsxAnswer> {
  const client = clientOf(session);
  try {
    return { client, response: await session.invoke(request, timeoutMs) };
  } catch (error) {
    return { client, error: Fault.from(error) };
  }
}
