import { randomBytes } from 'node:crypto';
import { type Fields, limits } from './rules.ts';

/** A receipt can be asked for one week. */
const keptSeconds = 7 * 24 * 60 * 60;

interface Receipt {
  readonly token: string;
  readonly tags: readonly string[];
  readonly user: string;
  readonly callback: string;
  readonly sentAt: number;
  readonly retry: number;
  readonly expiresAt: number;
  acknowledgedAt: number;
  canceledAt: number;
  calledBackAt: number;
}

/** What is posted to a message's callback URL once somebody acknowledged it. */
export interface Callback {
  readonly url: string;
  readonly form: URLSearchParams;
  /** Call it when the other side has taken it. */
  readonly done: () => void;
}

/** Receipts of emergency messages, as far as the clock says. Times are Unix seconds. */
export class Receipts {
  readonly #now: () => number;
  readonly #all = new Map<string, Receipt>();

  constructor(now: () => number) {
    this.#now = () => Math.floor(now() / 1_000);
  }

  open(fields: Fields): string {
    const id = randomBytes(15).toString('hex');
    const sentAt = this.#now();
    this.#all.set(id, {
      token: fields['token'] ?? '',
      user: fields['user'] ?? '',
      tags: (fields['tags'] ?? '').split(',').filter((tag) => tag !== ''),
      callback: fields['callback'] ?? '',
      sentAt,
      retry: Number(fields['retry']),
      expiresAt: sentAt + Number(fields['expire']),
      acknowledgedAt: 0,
      canceledAt: 0,
      calledBackAt: 0,
    });
    return id;
  }

  /** The receipt as the API shows it; undefined for one of another token, too old or unknown. */
  view(id: string, token: string): Readonly<Record<string, unknown>> | undefined {
    const receipt = this.#find(id, token);
    if (receipt === undefined) return undefined;
    const acknowledged = receipt.acknowledgedAt > 0;
    return {
      acknowledged: acknowledged ? 1 : 0,
      acknowledged_at: receipt.acknowledgedAt,
      acknowledged_by: acknowledged ? receipt.user : '',
      acknowledged_by_device: acknowledged ? 'phone' : '',
      last_delivered_at: this.#lastDelivery(receipt),
      expired: !acknowledged && this.#end(receipt) <= this.#now() ? 1 : 0,
      expires_at: receipt.expiresAt,
      called_back: receipt.calledBackAt > 0 ? 1 : 0,
      called_back_at: receipt.calledBackAt,
    };
  }

  /** As a person tapping the phone; the callback to make, if the message asked for one. */
  acknowledge(id: string): Callback | undefined {
    const receipt = this.#all.get(id);
    if (receipt === undefined || receipt.acknowledgedAt > 0 || this.#end(receipt) <= this.#now())
      return undefined;
    receipt.acknowledgedAt = this.#now();
    if (receipt.callback === '') return undefined;
    const form = new URLSearchParams({
      receipt: id,
      acknowledged: '1',
      acknowledged_at: String(receipt.acknowledgedAt),
      acknowledged_by: receipt.user,
      acknowledged_by_device: 'phone',
    });
    const done = () => {
      receipt.calledBackAt = this.#now();
    };
    return { url: receipt.callback, form, done };
  }

  cancel(id: string, token: string): boolean {
    const receipt = this.#find(id, token);
    if (receipt !== undefined && receipt.canceledAt === 0) receipt.canceledAt = this.#now();
    return receipt !== undefined;
  }

  /** How many were still going on. */
  cancelByTag(tag: string, token: string): number {
    const now = this.#now();
    const going = [...this.#all.values()].filter(
      (receipt) =>
        receipt.token === token && receipt.tags.includes(tag) && this.#end(receipt) > now,
    );
    for (const receipt of going) receipt.canceledAt = now;
    return going.length;
  }

  clear(): void {
    this.#all.clear();
  }

  #find(id: string, token: string): Receipt | undefined {
    const receipt = this.#all.get(id);
    const known = receipt?.token === token && this.#now() < receipt.sentAt + keptSeconds;
    return known ? receipt : undefined;
  }

  /** When it stops being delivered. */
  #end(receipt: Receipt): number {
    const { acknowledgedAt, canceledAt, expiresAt } = receipt;
    return Math.min(...[acknowledgedAt, canceledAt, expiresAt].filter((at) => at > 0));
  }

  #lastDelivery(receipt: Receipt): number {
    const until = Math.min(this.#now(), this.#end(receipt));
    const repeats = Math.floor((until - receipt.sentAt) / receipt.retry);
    return receipt.sentAt + Math.min(repeats, limits.maxRepeats - 1) * receipt.retry;
  }
}
