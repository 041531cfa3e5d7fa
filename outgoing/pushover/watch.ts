import type { Socket } from 'node:net';

const banAfter = 10;
const banWindowMs = 60_000;
const quietAfterFailureMs = 5_000;
const maxSockets = 2;
const maxKept = 1_000;

/** Watches whether a client keeps Pushover's rules of good behaviour. */
export class Watch {
  readonly #now: () => number;
  readonly #sockets = new Set<Socket>();
  readonly #failed = new Map<string, number>();
  #refusals: number[] = [];
  #bannedUntil = 0;
  #mostSockets = 0;
  #violations: string[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  get violations(): readonly string[] {
    return this.#violations;
  }

  get sockets(): { readonly open: number; readonly most: number } {
    return { open: this.#sockets.size, most: this.#mostSockets };
  }

  get bannedUntil(): number {
    return this.#bannedUntil;
  }

  opened(socket: Socket): void {
    this.#sockets.add(socket);
    const gone = () => this.#sockets.delete(socket);
    socket.once('close', gone);
    socket.once('end', gone);
    // A socket that the client has just let go may be seen to end a moment after the next one came.
    setImmediate(() => {
      this.#mostSockets = Math.max(this.#mostSockets, this.#sockets.size);
      if (this.#sockets.size > maxSockets && this.#sockets.has(socket)) {
        this.#violated(`${this.#sockets.size} sockets at once, at most ${maxSockets} are allowed`);
      }
    });
  }

  /** True while banned; asking again makes it longer. */
  banned(): boolean {
    if (this.#now() >= this.#bannedUntil) return false;
    this.#bannedUntil = this.#now() + banWindowMs;
    this.#violated('called while blocked');
    return true;
  }

  /** Too many refusals in a while end in a ban. */
  refused(): void {
    const now = this.#now();
    this.#refusals = [...this.#refusals.filter((at) => at > now - banWindowMs), now];
    if (this.#refusals.length < banAfter) return;
    this.#refusals = [];
    this.#bannedUntil = now + banWindowMs;
    this.#violated(`${banAfter} refused calls in ${banWindowMs / 1_000} s: blocked`);
  }

  /** The body had a 5xx or no reply. */
  failed(body: string): void {
    this.#failed.set(body, this.#now());
    const [oldest] = this.#failed.keys();
    if (this.#failed.size > maxKept && oldest !== undefined) this.#failed.delete(oldest);
  }

  /** True when the same body failed less than 5 s ago. */
  repeatedTooSoon(body: string): boolean {
    const failedAt = this.#failed.get(body);
    if (failedAt === undefined || this.#now() - failedAt >= quietAfterFailureMs) return false;
    this.#violated(
      `the same body ${this.#now() - failedAt} ms after it failed, at least 5000 are required`,
    );
    return true;
  }

  clear(): void {
    this.#failed.clear();
    this.#refusals = [];
    this.#bannedUntil = 0;
    this.#mostSockets = this.#sockets.size;
    this.#violations = [];
  }

  #violated(text: string): void {
    this.#violations = [...this.#violations.slice(1 - maxKept), text];
  }
}
