/** The close codes of Zato 3.2's WebSocket channels, and the few of RFC 6455 that are used beside them. */
export const closeCode = {
  /** The server ends. */
  shutdown: 1001,
  /** RFC 6455 registry: "try again later"; here, a client that does not read. */
  tryAgainLater: 1013,
  /** A bug of ours in handling a frame. */
  unhandled: 3703,
  /** Before the login. */
  invalidUtf8: 4001,
  pingsMissed: 4002,
  /** A frame that cannot be understood, before the login. */
  connectionError: 4003,
  /** The client sent nothing for too long. */
  default: 4004,
  /** Disconnected by a service, or because its channel is gone. */
  disconnected: 4005,
} as const;
