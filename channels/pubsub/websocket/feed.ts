import { background } from '../../../runtime/core/background.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { notHeld } from '../../../runtime/pubsub/consumer.ts';
import type { WsxSession } from '../../../runtime/service/wsx.ts';
import { Acknowledging } from './acknowledging.ts';
import type { DeliveryFrame } from './delivery-frame.ts';
import { HandedOut } from './handed-out.ts';
import type { ClientResponse, DeliveryHost } from './ports.ts';

export interface FeedOptions {
  readonly host: DeliveryHost;
  readonly session: WsxSession;
  readonly subKey: string;
  /** Of this holding. */
  readonly token: string;
  /** The client says when a message is handled; else that its frame was sent is enough. */
  readonly clientAcks: boolean;
  /** Another holds the subscription now, or nobody. */
  readonly lost: () => void;
}

/** Leases of those who were before must not keep messages from who is now. */
const maxInflight = 1_000_000;
/** One wait of a subscriber, of which there is never an end. */
const waitMs = 24 * 3_600_000;
const firstPauseMs = 200;
const longestPauseMs = 5_000;
/** RFC 6455 registry: "try again later". */
const tryAgainLater = 1013;

/** Delivers one subscription's queue over one session, at least once. */
export class Feed {
  readonly subKey: string;
  readonly token: string;
  readonly session: WsxSession;
  readonly #options: FeedOptions;
  readonly #out: HandedOut;
  readonly #acks: Acknowledging;
  readonly #stop = new AbortController();
  readonly #listening: (() => void)[] = [];
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #unsent = 0;
  #progressAt = 0;
  #allSent: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(options: FeedOptions) {
    const { host, subKey, token, session } = options;
    this.#options = options;
    this.subKey = subKey;
    this.token = token;
    this.session = session;
    this.#out = new HandedOut(host.limits.leaseMs);
    this.#acks = new Acknowledging(host, subKey);
  }

  start(): void {
    this.#listening.push(this.session.onWritable(() => this.#wake()));
    this.#running = this.#run();
  }

  /** Whether the answer was for a message of this subscription. `{"ack": false}` refuses it. */
  answered({ inReplyTo, data }: ClientResponse): boolean {
    if (!this.#options.clientAcks) return this.#out.knows(inReplyTo);
    const leases = this.#out.take(inReplyTo);
    if (leases.length === 0) return false;
    if (isRefusal(data)) {
      const { broker } = this.#options.host;
      const reason = 'refused by its WebSocket client';
      background(
        broker.reject(
          this.subKey,
          leases.map((lease) => ({ ...lease, reason })),
        ),
        (error) => this.#note('message not put back', error),
      );
    } else this.#acks.add(leases);
    this.#wake();
    return true;
  }

  /** Sends no more; resolves when what was not acknowledged is back in the queue. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    for (const stop of this.#listening) stop();
    this.#wake();
    await this.#running;
    await this.#sent();
    clearTimeout(this.#timer);
    await this.#acks.flush();
    const rest = this.#out.takeAll().map((lease) => ({ ...lease, countFailure: false }));
    await this.#options.host.broker.reject(this.subKey, rest);
  }

  get #open(): boolean {
    return !this.#stop.signal.aborted && this.session.open;
  }

  async #run(): Promise<void> {
    while (this.#open) {
      try {
        await this.#turn();
        this.#failures = 0;
      } catch (error) {
        if (isNotHeld(error)) await this.#lost();
        else this.#note('queue not read', error);
        await this.#rest(Math.min(firstPauseMs * 2 ** this.#failures++, longestPauseMs));
      }
    }
  }

  async #lost(): Promise<void> {
    const { host, lost } = this.#options;
    const kept = await host.keeps(this.subKey, this.token).catch(() => true);
    if (kept || !this.#open) return;
    this.#stop.abort();
    lost();
  }

  async #turn(): Promise<void> {
    const { host, clientAcks } = this.#options;
    const room = host.limits.window - this.#out.size;
    if (!this.session.writable || room <= 0) {
      await this.#rest(this.#out.lapse());
      return;
    }
    const taken = await host.broker.take(this.subKey, {
      max: Math.min(host.limits.maxBatch, room),
      maxBytes: host.limits.maxBatchBytes,
      atLeastOne: true,
      leaseMs: host.limits.leaseMs,
      maxInflight,
      waitMs,
      lookMs: host.limits.lookMs,
      holder: this.token,
      signal: this.#stop.signal,
    });
    if (taken.length === 0) return;
    const frame = host.writer.write(taken);
    this.#out.add(frame, taken);
    if (!this.#open) return;
    await this.#send(frame, clientAcks);
  }

  async #send(frame: DeliveryFrame, clientAcks: boolean): Promise<void> {
    const sent = (error?: Error) => {
      this.#unsent--;
      this.#progressAt = performance.now();
      if (!error && clientAcks) this.#out.sent(frame.id);
      else if (!error) this.#acks.add(this.#out.take(frame.id));
      if (this.#unsent === 0) this.#allSent();
      this.#wake();
    };
    if (this.#unsent++ === 0) this.#progressAt = performance.now();
    this.#watch();
    for (;;) {
      if (this.session.send(frame.text, sent)) return;
      if (!this.#open) break;
      await this.#rest(undefined);
      if (!this.#open) break;
      // The room may have come late: they are still its own.
      await this.#renew(frame.ids);
    }
    this.#unsent--;
  }

  /** Until something has changed, or the time is up. */
  #rest(ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(() => this.#wake(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
      if (this.#stop.signal.aborted) this.#wake();
    });
  }

  /** The frames that the system is about to take. */
  #sent(): Promise<void> {
    if (this.#unsent === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.host.limits.graceMs);
      this.#allSent = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #watch(): void {
    if (this.#timer) return;
    const { stallMs, leaseMs } = this.#options.host.limits;
    const left = this.#progressAt + stallMs - performance.now();
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        if (this.#unsent > 0 && this.#open) this.#look();
      },
      Math.max(1, Math.min(left, leaseMs / 3)),
    );
  }

  #look(): void {
    const { stallMs } = this.#options.host.limits;
    if (performance.now() - this.#progressAt >= stallMs) {
      this.session.close(tryAgainLater, 'The client does not read');
      return;
    }
    background(this.#renew(this.#out.unsent()), (error) => this.#note('lease not renewed', error));
    this.#watch();
  }

  async #renew(ids: readonly string[]): Promise<void> {
    const { broker, limits } = this.#options.host;
    const leases = this.#out.leases(ids);
    const held = await broker.extend(this.subKey, leases, limits.leaseMs);
    this.#out.renewed(ids.filter((_, at) => held[at]));
  }

  #note(message: string, error: unknown): void {
    const { log } = this.#options.host;
    log.warn(message, { subKey: this.subKey, client: this.session.id, error });
  }
}

function isNotHeld(error: unknown): boolean {
  const { reason } = ((Fault.is(error) && error.details) || {}) as { readonly reason?: unknown };
  return reason === notHeld;
}

function isRefusal(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false;
  const { ack } = data as { readonly ack?: unknown };
  return ack === false;
}
