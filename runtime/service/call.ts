/** The HTTP side of a request, where there is one. */
export interface HttpRequest {
  readonly method: string;
  /** The path as sent, without the query. */
  readonly path: string;
  /** Values of the channel's `{params}`, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The query; a name given several times is a list. */
  readonly query: Readonly<Record<string, string | readonly string[]>>;
  /** Header names are lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Name of the security definition that let the caller in. */
  readonly user?: string;
}

/** One call of a service, as a door or another service makes it. */
export interface Call {
  readonly cid: string;
  readonly service: string;
  /** What the service's IO is checked against; from a channel it is merged from body, query and path. */
  readonly input: unknown;
  /** The request as it came: the body's text from HTTP, the very value from `invoke`. */
  readonly rawRequest: unknown;
  readonly http?: HttpRequest;
  /** Services already being called, outermost first; absent at a door. */
  readonly chain?: readonly string[];
  /** Overrides the service's own timeout when shorter. */
  readonly timeoutMs?: number;
  /** Aborted when the caller gave up. */
  readonly signal?: AbortSignal;
}

/** What a service answered. `payload` has passed the output filter and is not serialised yet. */
export interface Reply {
  readonly payload: unknown;
  /** 200 unless the service said otherwise. */
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Set by the service, else undefined: the door decides. */
  readonly contentType: string | undefined;
}
