import { AsyncLocalStorage } from 'node:async_hooks';
import process from 'node:process';

/** A file tried to end the process while it was being loaded. */
export class ExitAtLoad extends Error {}

interface Loading {
  readonly file: string;
  readonly fail: (error: ExitAtLoad) => void;
  over: boolean;
}

type Exit = (...values: unknown[]) => unknown;

const exits = ['exit', 'reallyExit', 'abort'] as const;

/**
 * While a file is loaded, its `process.exit`, also after an await, throws instead of ending the
 * process: so it has a place, and the process lives. What else runs meanwhile can end it as ever.
 */
export class ExitGuard {
  readonly #context = new AsyncLocalStorage<Loading>();
  #users = 0;
  #restore: readonly (() => void)[] = [];

  /** @throws ExitAtLoad also when the file itself catches it: an exit never returns. */
  async during<T>(file: string, load: () => Promise<T>): Promise<T> {
    let fail: (error: ExitAtLoad) => void = () => {};
    const exited = new Promise<never>((_, reject) => {
      fail = reject;
    });
    const loading: Loading = { file, fail, over: false };
    if (this.#users++ === 0) this.#restore = exits.map((name) => this.#replace(name));
    try {
      return await Promise.race([exited, this.#context.run(loading, load)]);
    } finally {
      loading.over = true;
      if (--this.#users === 0) {
        for (const restore of this.#restore) restore();
        // On Node 20 and 22 every promise pays for it as long as it is on.
        this.#context.disable();
      }
    }
  }

  #replace(name: (typeof exits)[number]): () => void {
    const original: Exit = Reflect.get(process, name);
    const context = this.#context;
    const guarded: Exit = (...values) => {
      const loading = context.getStore();
      if (!loading || loading.over) return Reflect.apply(original, process, values);
      const { file, fail } = loading;
      // An `exit` taken from `node:process` before has got as far as this, and noted that it ends.
      if (name === 'reallyExit') Object.assign(process, { _exiting: false, exitCode: undefined });
      const call = `process.${name === 'abort' ? name : 'exit'}(${values.map(String).join(', ')})`;
      const error = new ExitAtLoad(`${call} while ${file} was being loaded`);
      fail(error);
      throw error;
    };
    Reflect.set(process, name, guarded);
    return () => {
      // Whoever came later chains to this one: it lets everything through by then.
      if (Reflect.get(process, name) === guarded) Reflect.set(process, name, original);
    };
  }
}
