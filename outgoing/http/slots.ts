/** So many things, each for one holder at a time, made when needed; first come first served. */
export class Slots<T> {
  readonly #limit: number;
  readonly #make: () => T;
  readonly #all: T[] = [];
  readonly #free: T[] = [];
  readonly #waiting = new Set<(slot: T) => void>();
  #idle: (() => void) | undefined;

  constructor(limit: number, make: () => T) {
    this.#limit = limit;
    this.#make = make;
  }

  get all(): readonly T[] {
    return this.#all;
  }

  /** The one last given back, when there is one. @throws the signal's reason when it comes first. */
  async take(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#all.length >= this.#limit) return await this.#wait(signal);
    const made = this.#make();
    this.#all.push(made);
    return made;
  }

  give(slot: T): void {
    const [next] = this.#waiting;
    if (next !== undefined) {
      next(slot);
      return;
    }
    this.#free.push(slot);
    if (this.#free.length === this.#all.length) this.#idle?.();
  }

  /** Resolves when nobody holds or waits for any. */
  async idle(): Promise<void> {
    if (this.#free.length === this.#all.length) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  #wait(signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(enter);
        reject(signal.reason);
      };
      const enter = (slot: T) => {
        this.#waiting.delete(enter);
        signal.removeEventListener('abort', leave);
        resolve(slot);
      };
      this.#waiting.add(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}
