import { WebSocketServer as Upgrader } from 'ws';
import { parseDuration } from '../../runtime/core/duration.ts';
import { noSecurity } from '../../runtime/security/basic-definition.ts';
import { allowing } from './allow-list.ts';
import { allowedBy, frameBytesOf, type WebSocketSpec } from './definition.ts';
import { normalizePath } from './path.ts';

/** A WebSocket channel with everything worked out that does not depend on a client. */
export interface WebSocketChannel {
  readonly name: string;
  readonly path: string;
  /** Undefined for a gateway. */
  readonly service: string | undefined;
  /** Of a gateway: whether a client may call a service. */
  readonly allows: (service: string) => boolean;
  /** Undefined lets everyone in. */
  readonly security: string | undefined;
  readonly timeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingsMissed: number;
  readonly tokenTtlMs: number;
  readonly loginTimeoutMs: number;
  readonly idleMs: number | undefined;
  readonly maxConnections: number;
  readonly hook: string | undefined;
  /** Does the handshake, with this channel's limits. */
  readonly upgrader: Upgrader;
}

const maxFragments = 64;
/** How long a client may take to answer our Close. */
const closeTimeoutMs = 5_000;

export function channelOf(name: string, spec: WebSocketSpec): WebSocketChannel {
  return {
    name,
    path: normalizePath(spec.path),
    service: spec.service,
    allows: allowing(spec.gateway ? allowedBy(spec) : []),
    security: spec.security === noSecurity ? undefined : spec.security,
    timeoutMs: parseDuration(spec.timeout),
    pingIntervalMs: parseDuration(spec.pingInterval),
    pingsMissed: spec.pingsMissed,
    tokenTtlMs: parseDuration(spec.tokenTtl),
    loginTimeoutMs: parseDuration(spec.loginTimeout),
    idleMs: spec.idle === undefined ? undefined : parseDuration(spec.idle),
    maxConnections: spec.maxConnections,
    hook: spec.hook,
    upgrader: upgraderOf(frameBytesOf(spec.maxFrame)),
  };
}

function upgraderOf(maxPayload: number): Upgrader {
  const options = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    maxFragments,
    closeTimeout: closeTimeoutMs,
    // Bad text has its own answers here, and ws would only close.
    skipUTF8Validation: true,
    // We select none of the subprotocols that a client offers.
    handleProtocols: () => false as const,
  };
  return new Upgrader(options);
}
