import type { WsxSession } from '../../../runtime/service/wsx.ts';
import type { Feed } from './feed.ts';

/** What is delivered here: of each subscription the newest, of each session what is its own. */
export class Feeds {
  readonly #bySubKey = new Map<string, Feed>();
  /** By the id of the session, then by topic. */
  readonly #bySession = new Map<string, Map<string, Feed>>();

  get size(): number {
    return this.#bySubKey.size;
  }

  all(): readonly Feed[] {
    return [...this.#bySubKey.values()];
  }

  get(subKey: string): Feed | undefined {
    return this.#bySubKey.get(subKey);
  }

  of({ id }: WsxSession): readonly Feed[] {
    return [...(this.#bySession.get(id)?.values() ?? [])];
  }

  ofTopic({ id }: WsxSession, topic: string): Feed | undefined {
    return this.#bySession.get(id)?.get(topic);
  }

  /** True when it is the first of its session. Where the session has the topic already, it has it by another key too. */
  add(feed: Feed, topic: string): boolean {
    const { session, subKey } = feed;
    this.#bySubKey.set(subKey, feed);
    const feeds = this.#bySession.get(session.id);
    if (feeds) feeds.set(feeds.has(topic) ? subKey : topic, feed);
    else this.#bySession.set(session.id, new Map([[topic, feed]]));
    return feeds === undefined;
  }

  remove(feed: Feed): void {
    if (this.#bySubKey.get(feed.subKey) === feed) this.#bySubKey.delete(feed.subKey);
    const feeds = this.#bySession.get(feed.session.id);
    for (const [topic, one] of feeds ?? []) if (one === feed) feeds?.delete(topic);
  }

  /** The session is over. */
  removeAll(session: WsxSession): readonly Feed[] {
    const feeds = this.of(session);
    this.#bySession.delete(session.id);
    for (const feed of feeds) this.remove(feed);
    return feeds;
  }
}
