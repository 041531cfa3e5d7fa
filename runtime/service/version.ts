import { Service } from './service.ts';
import { planOf, type ServiceClass, type ServicePlan } from './service-class.ts';

export interface ServiceVersionOptions {
  readonly name: string;
  /** As people see it: `services/pushover.ts`. */
  readonly file: string;
  /** Absolute path of the root it came from. */
  readonly path: string;
  /** 1, 2, ... counted per file. */
  readonly version: number;
  readonly hash: string;
  readonly ServiceClass: ServiceClass;
  /** Of the class, where it is known already. */
  readonly plan?: ServicePlan;
  /** Runs once, when it is retired and its last call has ended. */
  readonly dispose: () => void | Promise<void>;
}

/** One deployed version of one service: the class, and the calls that run on it. */
export class ServiceVersion {
  readonly name: string;
  readonly file: string;
  readonly path: string;
  readonly version: number;
  readonly hash: string;
  readonly ServiceClass: ServiceClass;
  readonly plan: ServicePlan;
  calls = 0;
  errors = 0;
  #inFlight = 0;
  #retired = false;
  #dispose: (() => void | Promise<void>) | undefined;

  constructor(options: ServiceVersionOptions) {
    this.name = options.name;
    this.file = options.file;
    this.path = options.path;
    this.version = options.version;
    this.hash = options.hash;
    this.ServiceClass = options.ServiceClass;
    this.plan = options.plan ?? planOf(options.ServiceClass);
    this.#dispose = options.dispose;
    Service.setName(options.ServiceClass, options.name);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get retired(): boolean {
    return this.#retired;
  }

  /** A call pins the version it began on: swapping does not touch it. */
  enter(): void {
    this.#inFlight++;
    this.calls++;
  }

  leave(): void {
    this.#inFlight--;
    this.#disposeWhenIdle();
  }

  /** No call starts on it any more; it is disposed when the last one has ended. */
  retire(): void {
    this.#retired = true;
    this.#disposeWhenIdle();
  }

  #disposeWhenIdle(): void {
    if (!this.#retired || this.#inFlight > 0) return;
    const dispose = this.#dispose;
    this.#dispose = undefined;
    // The loader's own dispose reports what goes wrong in it.
    void dispose?.();
  }
}
