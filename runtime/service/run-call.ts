import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import type { Call, Reply } from './call.ts';
import { Model } from './model.ts';
import type { Ports } from './ports.ts';
import { type Publishing, type PublishResult, publicationOf } from './publication.ts';
import { type PubSub, ServicePubSub } from './pubsub-api.ts';
import {
  Service,
  type ServiceContext,
  type ServiceRequest,
  type ServiceResponse,
} from './service.ts';
import type { ServicePlan, Step } from './service-class.ts';
import type { ServiceVersion } from './version.ts';
import { type Wsx, type WsxClients, type WsxSession, wsxOf } from './wsx.ts';

/** Longer chains of services calling services are taken for an endless recursion. */
const maxDepth = 32;

/** What a call needs beyond its own version. */
export interface CallHost {
  readonly ports: Ports;
  invoke(call: Call): Promise<Reply>;
}

/** Runs one call on one version: check, accept, beforeHandle, handle, afterHandle, filter. */
export async function runCall(version: ServiceVersion, call: Call, host: CallHost): Promise<Reply> {
  const { plan } = version;
  const chain = call.chain ?? [];
  if (chain.length >= maxDepth) throw tooDeep(chain, version.name);
  const handle = handlerOf(plan, call, version.name);
  const checked = plan.io.input ? plan.io.input(call.input, version.name) : call.input;
  const input = checked instanceof Promise ? await checked : checked;

  const service = new version.ServiceClass();
  const context = new CallContext(version, call, input, host);
  Service.bind(service, context);
  const timeoutMs = shorter(plan.timeoutMs, call.timeoutMs);
  const running = steps(service, plan, handle, version.name);
  const answer = timeoutMs === undefined ? await running : await context.within(timeoutMs, running);

  const { response } = context;
  const payload = answer === undefined ? response.payload : answer;
  const filtered =
    plan.io.output && payload !== undefined ? plan.io.output(payload, version.name) : payload;
  return {
    payload: filtered instanceof Promise ? await filtered : filtered,
    statusCode: response.statusCode,
    headers: response.headers,
    contentType: response.contentType,
  };
}

async function steps(
  service: Service<unknown, unknown>,
  plan: ServicePlan,
  handle: Step,
  name: string,
): Promise<unknown> {
  if (plan.accept && !(await plan.accept.call(service))) {
    throw new Fault('forbidden', `Service ${name} did not accept this request`);
  }
  if (plan.beforeHandle) await plan.beforeHandle.call(service);
  const answer = await handle.call(service);
  if (plan.afterHandle) await plan.afterHandle.call(service);
  return answer;
}

/** Over HTTP a method's own handler comes first; every other call is for `handle`. */
function handlerOf(plan: ServicePlan, call: Call, name: string): Step {
  const method = call.http?.method;
  const own = method === undefined ? undefined : plan.handlers.get(method);
  // Who can GET can HEAD: the door sends the headers alone.
  const head = method === 'HEAD' && !plan.handle ? plan.handlers.get('GET') : undefined;
  const handler = own ?? head ?? plan.handle;
  if (handler) return handler;
  const allow = [...plan.handlers.keys()];
  throw new Fault(
    'method-not-allowed',
    method === undefined
      ? `Service ${name} has no handle method, only one for ${allow.join(', ')}`
      : `Service ${name} does not take ${method}, only ${allow.join(', ')}`,
    { details: { allow } },
  );
}

function tooDeep(chain: readonly string[], name: string): Fault {
  const path = [...chain.slice(0, 3), '...', ...chain.slice(-3), name].join(' > ');
  return new Fault('internal', `Services call each other more than ${maxDepth} deep: ${path}`);
}

function shorter(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined) return other;
  return other === undefined ? one : Math.min(one, other);
}

/** One call's surroundings. Whatever costs something is made at its first use. */
class CallContext implements ServiceContext {
  readonly cid: string;
  readonly name: string;
  readonly request: ServiceRequest<unknown>;
  readonly response: ServiceResponse<unknown> = {
    payload: undefined,
    statusCode: 200,
    headers: {},
    contentType: undefined,
  };
  readonly #call: Call;
  readonly #host: CallHost;
  #deadline = Number.POSITIVE_INFINITY;
  #late: Fault | undefined;
  #logger: Logger | undefined;
  #abort: AbortController | undefined;
  #wsx: Wsx | undefined;
  #pubsub: PubSub | undefined;

  constructor(version: ServiceVersion, call: Call, input: unknown, host: CallHost) {
    this.cid = call.cid;
    this.name = version.name;
    const { rawRequest, http, message } = call;
    this.request = { input, rawRequest, http, message };
    this.#call = call;
    this.#host = host;
  }

  get logger(): Logger {
    this.#logger ??= this.#host.ports.log.child({ cid: this.cid, service: this.name });
    return this.#logger;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      const abort = new AbortController();
      this.#abort = abort;
      if (this.#late) abort.abort(this.#late);
      const { signal } = this.#call;
      if (signal?.aborted) abort.abort(signal.reason);
      signal?.addEventListener('abort', () => abort.abort(signal.reason), { once: true });
    }
    return this.#abort.signal;
  }

  get wsx(): Wsx | undefined {
    const { wsx } = this.#call;
    if (wsx) this.#wsx ??= wsxOf(wsx);
    return this.#wsx;
  }

  get wsxClients(): WsxClients {
    const { wsx } = this.#host.ports;
    if (wsx) return wsx;
    throw new Fault('unavailable', 'There are no WebSocket channels here');
  }

  get session(): WsxSession | undefined {
    return this.#call.wsx;
  }

  get pubsub(): PubSub {
    const { ports } = this.#host;
    this.#pubsub ??= new ServicePubSub({
      cid: this.cid,
      service: this.name,
      hops: this.#call.hops,
      modelName: ports.modelName ?? Model.nameOf,
      port: ports.pubsub,
      wsxPort: ports.wsxPubsub,
    });
    return this.#pubsub;
  }

  async invoke(service: string, input: unknown): Promise<unknown> {
    const remainingMs = this.#deadline - performance.now();
    const reply = await this.#host.invoke({
      cid: this.cid,
      service,
      input,
      rawRequest: input,
      chain: [...(this.#call.chain ?? []), this.name],
      ...(this.#call.hops === undefined ? {} : { hops: this.#call.hops }),
      ...(this.#call.wsx === undefined ? {} : { wsx: this.#call.wsx }),
      ...(Number.isFinite(remainingMs) ? { timeoutMs: Math.max(remainingMs, 1) } : {}),
      signal: this.signal,
    });
    return reply.payload;
  }

  invokeAsync(service: string, input: unknown): Promise<string> {
    return this.#host.ports.invokeAsync(service, input, this.cid, this.#call.hops);
  }

  async publish(publishing: Publishing): Promise<PublishResult> {
    const { ports } = this.#host;
    const { msgId, queues, duplicate } = await ports.publish(
      publicationOf(publishing, {
        cid: this.cid,
        service: this.name,
        hops: this.#call.hops,
        modelName: ports.modelName ?? Model.nameOf,
      }),
    );
    return { msgId, queues, duplicate };
  }

  outgoing(name: string): ReturnType<Ports['outgoing']> {
    return this.#host.ports.outgoing(name);
  }

  kvdb(): ReturnType<Ports['kvdb']> {
    return this.#host.ports.kvdb();
  }

  /** The outcome, or Fault `timeout`; the service's own code is told by its signal. */
  within<T>(timeoutMs: number, running: Promise<T>): Promise<T> {
    this.#deadline = performance.now() + timeoutMs;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#late = new Fault(
          'timeout',
          `Service ${this.name} did not answer in ${Math.round(timeoutMs)} ms`,
        );
        this.#abort?.abort(this.#late);
        reject(this.#late);
      }, timeoutMs);
      running.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }
}
