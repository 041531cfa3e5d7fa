import { standins as kinds, type Standin } from '../../outgoing/standins.ts';
import type { StandinMessage } from '../admin/api.ts';
import { Fault } from '../core/fault.ts';

/** The built-in stand-ins of other systems: servers of this process, on free loopback ports. */
export class Standins {
  readonly #running = new Map<string, { readonly url: string; readonly standin: Standin }>();

  async start(): Promise<void> {
    for (const [name, make] of kinds) {
      const standin = make();
      this.#running.set(name, { url: await standin.start(), standin });
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ standin }) => standin.stop()));
    this.#running.clear();
  }

  /** Name -> URL. */
  urls(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#running].map(([name, { url }]) => [name, url]));
  }

  async show(
    name: string,
  ): Promise<{ readonly url: string; readonly messages: readonly StandinMessage[] }> {
    const { url, standin } = this.#get(name);
    return { url, messages: standin.messages() };
  }

  async clear(name: string): Promise<void> {
    this.#get(name).standin.clear();
  }

  #get(name: string): { readonly url: string; readonly standin: Standin } {
    const running = this.#running.get(name);
    if (running) return running;
    const known = [...this.#running.keys()].join(', ');
    throw new Fault('not-found', `No such stand-in: ${name} (there is ${known})`);
  }
}
