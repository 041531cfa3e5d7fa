const freeLimit = 10_000;

/** The messages an application may still send this month. */
export class Quota {
  readonly #now: () => number;
  readonly #limit: number;
  #used = 0;
  #resetAt: number;

  constructor(now: () => number, limit = freeLimit) {
    this.#now = now;
    this.#limit = limit;
    this.#resetAt = nextMonth(now());
  }

  /** Charges one message per user; false when there are not so many left. */
  charge(users: number): boolean {
    this.#roll();
    if (this.#used + users > this.#limit) return false;
    this.#used += users;
    return true;
  }

  view(): { readonly limit: number; readonly remaining: number; readonly reset: number } {
    this.#roll();
    return {
      limit: this.#limit,
      remaining: this.#limit - this.#used,
      reset: this.#resetAt / 1_000,
    };
  }

  headers(): Readonly<Record<string, string>> {
    const { limit, remaining, reset } = this.view();
    return {
      'X-Limit-App-Limit': String(limit),
      'X-Limit-App-Remaining': String(remaining),
      'X-Limit-App-Reset': String(reset),
    };
  }

  clear(): void {
    this.#used = 0;
  }

  #roll(): void {
    if (this.#now() < this.#resetAt) return;
    this.#used = 0;
    this.#resetAt = nextMonth(this.#now());
  }
}

const chicago = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Chicago',
  year: 'numeric',
  month: 'numeric',
  hour: 'numeric',
  hourCycle: 'h23',
});

/** 00:00 US Central on the next 1st, in Unix ms. */
function nextMonth(now: number): number {
  const part = (at: number, type: string) =>
    Number(chicago.formatToParts(at).find((piece) => piece.type === type)?.value);
  // Midnight there is 6:00 UTC, or 5:00 in summer; a month of 13 is January of the next year.
  const winter = Date.UTC(part(now, 'year'), part(now, 'month'), 1, 6);
  const hourMs = 60 * 60 * 1_000;
  return part(winter, 'hour') === 0 ? winter : winter - hourMs;
}
