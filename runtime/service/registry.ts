import { Fault } from '../core/fault.ts';
import type { Call, Reply } from './call.ts';
import type { Ports } from './ports.ts';
import { type CallHost, runCall } from './run-call.ts';
import type { ServiceVersion } from './version.ts';

type Invoke = (call: Call) => Promise<Reply>;

/** The services this process can run, each in one slot that a deploy swaps in one step. */
export class Registry {
  readonly #slots = new Map<string, ServiceVersion>();
  readonly #byPath = new Map<string, readonly ServiceVersion[]>();
  readonly #host: CallHost;

  /** @param observed sees the calls that services make of one another */
  constructor(ports: Ports, observed: (invoke: Invoke) => Invoke = (invoke) => invoke) {
    this.#host = { ports, invoke: observed((call) => this.invoke(call)) };
  }

  /**
   * Puts these services in place of all that came from `path`, in one synchronous step, and retires
   * what they replace.
   * @returns the retired versions
   * @throws Fault `conflict` when a name belongs to another file; then nothing has changed.
   */
  replace(path: string, versions: readonly ServiceVersion[]): readonly ServiceVersion[] {
    for (const { name, file } of versions) {
      const holder = this.#slots.get(name);
      if (holder && holder.path !== path) {
        throw new Fault('conflict', `Service ${name} is claimed by ${holder.file} and ${file}`);
      }
    }
    const old = this.#byPath.get(path) ?? [];
    for (const version of old) this.#slots.delete(version.name);
    for (const version of versions) this.#slots.set(version.name, version);
    if (versions.length > 0) this.#byPath.set(path, versions);
    else this.#byPath.delete(path);
    for (const version of old) version.retire();
    return old;
  }

  get(name: string): ServiceVersion | undefined {
    return this.#slots.get(name);
  }

  list(): readonly ServiceVersion[] {
    return [...this.#slots.values()];
  }

  /**
   * Runs one call on the version that is current now.
   * @throws Fault `not-found` for an unknown service, and whatever the service throws.
   */
  async invoke(call: Call): Promise<Reply> {
    const version = this.#slots.get(call.service);
    if (!version) throw new Fault('not-found', `No such service: ${call.service}`);
    version.enter();
    try {
      return await runCall(version, call, this.#host);
    } catch (error) {
      version.errors++;
      throw error;
    } finally {
      version.leave();
    }
  }
}
