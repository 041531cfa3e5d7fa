import type { Redis } from 'ioredis';
import type { Logger } from '../log/logger.ts';
import type { HttpRequest } from './call.ts';
import type { OutgoingCalls } from './ports.ts';

/** What a service is asked. */
export interface ServiceRequest<Input = Record<string, unknown>> {
  /** Checked against the service's IO; as it came when the service declares none. */
  readonly input: Input;
  /** The body's text from an HTTP channel (a Buffer for `raw`), the very value from `invoke`. */
  readonly rawRequest: unknown;
  /** Method, path, params, query, headers and user; undefined when the call did not come by HTTP. */
  readonly http: HttpRequest | undefined;
}

/** What a service answers. What `handle` returns wins over `payload`. */
export interface ServiceResponse<Output = unknown> {
  /** A value is filtered by the output IO and serialised; a string or Buffer goes out as it is. */
  payload: Output | string | Buffer | undefined;
  /** Default 200. */
  statusCode: number;
  headers: Record<string, string>;
  contentType: string | undefined;
}

/** One call's surroundings: what every getter of a service reads. */
export interface ServiceContext {
  readonly cid: string;
  readonly name: string;
  readonly logger: Logger;
  readonly request: ServiceRequest<unknown>;
  readonly response: ServiceResponse<unknown>;
  readonly signal: AbortSignal;
  invoke(service: string, input: unknown): Promise<unknown>;
  invokeAsync(service: string, input: unknown): Promise<string>;
  outgoing(name: string): { readonly conn: OutgoingCalls };
  kvdb(): Redis;
}

/** Where a name of a service is wanted, its class serves as well. */
export type ServiceReference = string | (new () => Service<unknown, unknown>);

const brand = Symbol.for('hence.Service');
const names = new WeakMap<object, string>();

/**
 * A service: a class in `services/` with a `handle` method (or `handleGet`, `handlePost`, ...), and
 * optionally `accept`, `beforeHandle` and `afterHandle`. Each call gets an instance of its own.
 *
 * Statics: `serviceName` (default `<file>.<class>` in kebab-case), `io` ({@link ServiceIo}),
 * `timeout` (a duration such as `'10s'`; default none beyond the channel's).
 */
export abstract class Service<Input = Record<string, unknown>, Output = unknown> {
  static readonly serviceName?: string;

  #context: ServiceContext | undefined;

  /** Gives an instance its call. The runtime does this before the first hook. */
  static bind(service: Service<unknown, unknown>, context: ServiceContext): void {
    service.#context = context;
  }

  /** True for a class that extends Service, of any copy of this package. */
  static isClass(value: unknown): value is new () => Service<unknown, unknown> {
    return value !== Service && typeof value === 'function' && brand in value;
  }

  /** Names a class as it was deployed, so that the class itself can be invoked. */
  static setName(ServiceClass: object, name: string): void {
    names.set(ServiceClass, name);
  }

  /** Correlation id: one per request or message journey, on every log line, call and message. */
  get cid(): string {
    return this.#bound.cid;
  }

  /** Adds the cid and the service's name to each line. */
  get logger(): Logger {
    return this.#bound.logger;
  }

  get request(): ServiceRequest<Input> {
    return this.#bound.request as ServiceRequest<Input>;
  }

  get response(): ServiceResponse<Output> {
    return this.#bound.response as ServiceResponse<Output>;
  }

  /** Aborted when the call's time is up or its caller went away. */
  get signal(): AbortSignal {
    return this.#bound.signal;
  }

  /** Named connections to other systems. */
  get outgoing(): {
    readonly plainHttp: { get(name: string): { readonly conn: OutgoingCalls } };
  } {
    const context = this.#bound;
    return { plainHttp: { get: (name) => context.outgoing(name) } };
  }

  /** The Redis the system runs on, for keys of your own: an ioredis client, without a key prefix. */
  get kvdb(): { readonly conn: Redis } {
    const context = this.#bound;
    return {
      get conn() {
        return context.kvdb();
      },
    };
  }

  /**
   * Calls another service and waits for its payload.
   * @throws Fault `not-found` for an unknown name, and whatever the other service throws.
   */
  invoke<T = unknown>(service: ServiceReference, input: unknown = {}): Promise<T> {
    return this.#bound.invoke(nameOf(service), input) as Promise<T>;
  }

  /**
   * Stores a call of another service and resolves with its id once it is stored. It runs at least
   * once: retried with back-off when it throws, then kept as a dead letter with the reason.
   */
  invokeAsync(service: ServiceReference, input: unknown = {}): Promise<string> {
    return this.#bound.invokeAsync(nameOf(service), input);
  }

  get #bound(): ServiceContext {
    if (this.#context) return this.#context;
    throw new Error('A service has no call yet in its constructor: use beforeHandle or handle');
  }
}

Object.defineProperty(Service, brand, { value: true });

function nameOf(service: ServiceReference): string {
  if (typeof service === 'string') return service;
  return names.get(service) ?? service.name;
}
