import { promisify } from 'node:util';

type Callback = (...values: unknown[]) => void;

/** The names a module finds in place of the global timers. */
export const timerNames = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
] as const;

/** One module's timers: what still runs when the module is disposed is cleared. */
export class ModuleTimers {
  readonly #active = new Map<unknown, () => void>();
  #closed = false;

  /** Values for `timerNames`, in that order. */
  get values(): readonly unknown[] {
    const clear = (timer: unknown) => {
      this.#active.delete(timer);
      clearTimeout(timer as NodeJS.Timeout | undefined);
    };
    const forget = (immediate: unknown) => {
      this.#active.delete(immediate);
      clearImmediate(immediate as NodeJS.Immediate | undefined);
    };
    return [this.#timeout(), this.#interval(), this.#immediate(), clear, clear, forget];
  }

  /** How many still run. */
  get size(): number {
    return this.#active.size;
  }

  /** Clears them all; what is started later never fires. */
  close(): void {
    this.#closed = true;
    for (const clear of this.#active.values()) clear();
    this.#active.clear();
  }

  #timeout(): unknown {
    const start = (callback: Callback, ms?: number, ...values: unknown[]) => {
      requireFunction(callback);
      const timer = setTimeout(() => {
        this.#active.delete(timer);
        callback(...values);
      }, ms);
      const refresh = timer.refresh;
      timer.refresh = () => (this.#closed ? timer : this.#trackTimer(refresh.call(timer)));
      return this.#trackTimer(timer);
    };
    const later = (ms?: number, value?: unknown) =>
      new Promise((resolve) => start(() => resolve(value), ms));
    return Object.defineProperty(start, promisify.custom, { value: later });
  }

  #interval(): unknown {
    return (callback: Callback, ms?: number, ...values: unknown[]) => {
      requireFunction(callback);
      return this.#trackTimer(setInterval(callback, ms, ...values));
    };
  }

  #immediate(): unknown {
    const start = (callback: Callback, ...values: unknown[]) => {
      requireFunction(callback);
      const immediate = setImmediate(() => {
        this.#active.delete(immediate);
        callback(...values);
      });
      return this.#track(immediate, () => clearImmediate(immediate));
    };
    const later = (value?: unknown) => new Promise((resolve) => start(() => resolve(value)));
    return Object.defineProperty(start, promisify.custom, { value: later });
  }

  #trackTimer(timer: NodeJS.Timeout): NodeJS.Timeout {
    return this.#track(timer, () => clearTimeout(timer));
  }

  #track<T>(timer: T, clear: () => void): T {
    if (this.#closed) clear();
    else this.#active.set(timer, clear);
    return timer;
  }
}

/** The global timers check at once as well; ours would notice only when they fire. */
function requireFunction(callback: unknown): void {
  if (typeof callback === 'function') return;
  throw new TypeError(`The "callback" argument must be of type function, not ${typeof callback}`);
}
