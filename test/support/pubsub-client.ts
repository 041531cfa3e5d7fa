export interface PubSubReply<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** What every reply has. */
export interface Envelope {
  readonly is_ok: boolean;
  readonly cid: string;
  readonly status: string;
  readonly details?: string;
  readonly msg_id?: string;
}

interface GotMessage {
  readonly data: unknown;
  readonly meta: Readonly<Record<string, unknown>>;
}

export interface GotMessages extends Envelope {
  readonly messages: readonly GotMessage[];
  readonly message_count: number;
}

export function basicAuth(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** One user of Zato 4's pub/sub REST API. */
export class PubSubClient {
  readonly #url: () => string;
  readonly #authorization: string;

  /** @param url asked for each request: a system that was started again is somewhere else */
  constructor(url: () => string, user: string, password: string) {
    this.#url = url;
    this.#authorization = basicAuth(user, password);
  }

  publish(
    topic: string,
    data: unknown,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<PubSubReply<Envelope>> {
    return this.post<Envelope>(`/pubsub/topic/${topic}`, { data, ...more });
  }

  /** Without a body unless asked for something. */
  get(more?: Readonly<Record<string, unknown>>): Promise<PubSubReply<GotMessages>> {
    return this.post<GotMessages>('/pubsub/messages/get', more);
  }

  async post<T>(path: string, body?: unknown): Promise<PubSubReply<T>> {
    const reply = await fetch(this.#url() + path, {
      method: 'POST',
      headers: { authorization: this.#authorization, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: reply.status, headers: reply.headers, body: (await reply.json()) as T };
  }
}
