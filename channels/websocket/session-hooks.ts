import type { WsxSession } from '../../runtime/service/wsx.ts';

/** An answer of a client that no request of a service waits for. */
interface ClientResponse {
  /** The id of the frame it answers: a message's id (`zpsm...`), or a batch's. */
  readonly inReplyTo: string;
  readonly data: unknown;
  /** The exact JSON text of `data`; undefined when there is none. */
  readonly text: string | undefined;
}

/** One frame for the gateway, as a service of the platform's own answers it. */
interface GatewayRequest {
  readonly cid: string;
  readonly session: WsxSession;
  /** What the frame has under `data.request`; undefined when there is none. */
  readonly request: unknown;
  /** Its exact JSON text, in which big integers are whole. */
  readonly text: string | undefined;
  /** Aborted when the session ends. */
  readonly signal: AbortSignal;
}

export type GatewayService = (request: GatewayRequest) => Promise<unknown>;

/** What others take part in of the life of sessions. */
export interface SessionHooks {
  /** A client has logged in. */
  opened?(session: WsxSession): void;
  /** True when it was for the one that is asked. */
  answered?(session: WsxSession, response: ClientResponse): boolean;
}
