import type { Logger } from '../../runtime/log/logger.ts';
import type { Authenticator } from '../../runtime/security/authenticator.ts';
import type { Call, Reply } from '../../runtime/service/call.ts';
import type { Connection } from './connection.ts';
import type { Session } from './session.ts';
import type { GatewayService, SessionHooks } from './session-hooks.ts';

export interface WebSocketLimits {
  /** Of frames for one client that the system has not taken. */
  readonly maxBufferedBytes: number;
  /** A client that does not read for so long, while that is reached, is disconnected. */
  readonly stallMs: number;
  /** Calls of one client at a time; more of them wait. */
  readonly maxInFlight: number;
}

/** What all connections of a server share. */
export interface ConnectionHost {
  readonly authenticator: Pick<Authenticator, 'identify'>;
  readonly log: Logger;
  readonly limits: WebSocketLimits;
  readonly hooks: SessionHooks;
  readonly draining: boolean;
  invoke(call: Call): Promise<Reply>;
  /** A service of the platform's own. */
  gatewayService(name: string): GatewayService | undefined;
  broadcast(channel: string, request: unknown): number;
  opened(session: Session): void;
  closed(connection: Connection, session: Session | undefined): void;
  callBegun(): void;
  callEnded(): void;
}
