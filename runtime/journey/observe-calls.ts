import { Fault, type FaultCode } from '../core/fault.ts';
import { failureText } from './failure-text.ts';
import type { Journey } from './journey.ts';
import type { StepFacts, StepKind } from './step.ts';

interface CallFacts {
  readonly cid: string;
  readonly service: string;
  readonly http?: { readonly method: string; readonly path: string };
}

export interface ObservedCalls {
  /** 'channel' at a door, else 'invoke'. */
  readonly kind: Extract<StepKind, 'channel' | 'invoke'>;
  readonly versionOf?: (service: string) => number | undefined;
}

/** What the caller did wrong is no trouble of ours. */
const trouble: ReadonlySet<FaultCode> = new Set(['internal', 'timeout', 'unavailable']);

/**
 * The same way to call services. A call is noted at its end, and only if it failed or something else
 * of its journey was noted: one that has nothing to tell pays for a look-up.
 */
export function observeCalls<C extends CallFacts, R>(
  invoke: (call: C) => Promise<R>,
  journey: Journey,
  { kind, versionOf }: ObservedCalls,
): (call: C) => Promise<R> {
  const note = (call: C, at: number, error?: Fault) => {
    const { cid, service, http } = call;
    const version = versionOf?.(service);
    const facts: StepFacts = {
      service,
      ...(http === undefined ? {} : { channel: `${http.method} ${http.path}` }),
      ...(version === undefined ? {} : { version }),
      ...(error === undefined ? {} : { error: failureText(error) }),
    };
    journey.note({ cid, kind, at, ms: Date.now() - at, ok: error === undefined, facts });
  };
  return async (call) => {
    const at = Date.now();
    try {
      const reply = await invoke(call);
      if (journey.follows(call.cid)) note(call, at);
      return reply;
    } catch (error) {
      const fault = Fault.from(error);
      if (trouble.has(fault.code) || journey.follows(call.cid)) note(call, at, fault);
      throw error;
    }
  };
}

interface ReplyFacts {
  readonly status: number;
  readonly ok: boolean;
}

type Send = (cid: string, ...rest: never[]) => Promise<ReplyFacts>;

/** The verbs of an outgoing connection, by which a reply comes. */
interface OutgoingVerbs {
  send: Send;
  get: Send;
  post: Send;
  put: Send;
  patch: Send;
  delete: Send;
}

const verbs = ['send', 'get', 'post', 'put', 'patch', 'delete'] as const;

/** The same connections; each call over one is noted with its status. */
export function observeOutgoing<C extends OutgoingVerbs>(
  find: (name: string) => { readonly conn: C },
  journey: Journey,
): (name: string) => { readonly conn: C } {
  // A connection that was redefined is another object.
  const seen = new WeakMap<C, { readonly conn: C }>();
  return (name) => {
    const { conn } = find(name);
    let observed = seen.get(conn);
    if (observed === undefined) {
      observed = { conn: observeConnection(conn, name, journey) };
      seen.set(conn, observed);
    }
    return observed;
  };
}

function observeConnection<C extends OutgoingVerbs>(
  conn: C,
  connection: string,
  journey: Journey,
): C {
  const own = new Map<string | symbol, unknown>();
  for (const verb of verbs) {
    own.set(verb, async (cid: string, ...rest: never[]) => {
      const at = Date.now();
      const facts = verb === 'send' ? { connection } : { connection, method: verb };
      const end = (ok: boolean, more: StepFacts) =>
        journey.note({
          cid,
          kind: 'outgoing',
          at,
          ms: Date.now() - at,
          ok,
          facts: { ...facts, ...more },
        });
      try {
        const reply = await conn[verb](cid, ...rest);
        end(reply.ok, { status: reply.status });
        return reply;
      } catch (error) {
        end(false, { error: failureText(error) });
        throw error;
      }
    });
  }
  return new Proxy(conn, {
    get(target, name) {
      const known = own.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
