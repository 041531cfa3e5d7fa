import type { AdminPorts } from '../admin/admin.ts';
import type { ServiceView } from '../admin/api.ts';
import type { DefinitionStore } from '../config/store.ts';
import { Fault } from '../core/fault.ts';
import type { Deployer } from '../deploy/deployer.ts';
import type { InvocationQueue } from '../invocation/invocation-queue.ts';
import type { Kvdb } from '../kvdb/kvdb.ts';
import type { LogHub } from '../log/log-hub.ts';
import type { ControlMessages } from './control-messages.ts';
import type { InvokeResult, ServiceCounters } from './protocol.ts';
import type { Environment } from './settings.ts';
import type { Standins } from './standins.ts';
import type { WorkerStaff } from './worker-staff.ts';

export interface Desk {
  readonly system: AdminPorts['system'];
  readonly staff: WorkerStaff;
  readonly deployer: Deployer;
  readonly definitions: DefinitionStore;
  readonly kvdb: Kvdb;
  readonly standins: Standins;
  readonly stored: () => Promise<InvocationQueue>;
  /** Undefined until the definitions are loaded. */
  readonly messages: () => ControlMessages | undefined;
  readonly hub: LogHub;
  readonly env: Environment;
}

const invokeMs = 60_000;
const askMs = 1_000;

/** What the admin API asks of the whole, answered by the parts. */
export function adminPorts(desk: Desk): AdminPorts {
  const { staff, definitions, hub, standins } = desk;
  const loaded = () => {
    const messages = desk.messages();
    if (messages) return messages;
    throw new Fault('unavailable', 'Definitions are not loaded yet');
  };
  return {
    get messages() {
      return loaded().messages;
    },
    get queues() {
      return loaded().queues;
    },
    get journeys() {
      return loaded().journeys;
    },
    get schedules() {
      return loaded().schedules;
    },
    system: desk.system,
    definitions,
    env: (name) => desk.env[name],
    logs: hub,
    standins,
    kvdb: { command: (words) => desk.kvdb.run(words) },
    services: servicesPort(desk),
    outgoing: {
      async ping(name, cid) {
        return staff.any().rpc.request('ping', { name, cid }, { timeoutMs: invokeMs });
      },
    },
    invocations: {
      async list({ state = 'dead', limit, after }) {
        const from = after === undefined ? 0 : positionOf(after);
        const { items, total } = await (await desk.stored()).list(state, { from, limit });
        const next = from + items.length;
        return {
          items,
          total,
          ...(next < total && items.length > 0 ? { after: String(next) } : {}),
        };
      },
      retry: async (id) => (await desk.stored()).retry(id),
      delete: async (id) => (await desk.stored()).remove(id),
    },
  };
}

function servicesPort(desk: Desk): AdminPorts['services'] {
  const { staff, deployer } = desk;
  return {
    list: async () => {
      const counters = await countersOf(staff);
      return deployer.services().map((service) => viewOf(desk, service.name, counters));
    },
    async show(name) {
      const service = deployer.services().find((each) => each.name === name);
      if (!service) return undefined;
      return {
        ...viewOf(desk, name, await countersOf(staff)),
        about: service.about,
        history: service.history,
        channels: desk.definitions
          .list('channel')
          .filter(({ spec }) => (spec as { service?: string }).service === name)
          .map((channel) => channel.name),
      };
    },
    async invoke(name, { input, cid, timeoutMs, async: later }) {
      const service = deployer.services().find((each) => each.name === name);
      if (!service) throw new Fault('not-found', `No such service: ${name}`);
      const startedAt = performance.now();
      const facts = () => ({
        cid,
        service: name,
        ms: Math.round((performance.now() - startedAt) * 10) / 10,
      });
      if (later) {
        const id = await (await desk.stored()).add({ service: name, input: input ?? {}, cid });
        return { ...facts(), version: service.version, id };
      }
      const order = { service: name, input: input ?? {}, cid, timeoutMs: timeoutMs ?? invokeMs };
      const { payload, version } = await staff
        .any()
        .rpc.request<InvokeResult>('invoke', order, { timeoutMs: order.timeoutMs + askMs });
      return { ...facts(), version, payload };
    },
    deployFile: (file, text, options) => deployer.deployFile(file, text, options),
    reports: () => deployer.reports(),
  };
}

function viewOf(desk: Desk, name: string, counters: ReadonlyMap<string, Tally>): ServiceView {
  const service = desk.deployer.services().find((each) => each.name === name);
  if (!service) throw new Fault('not-found', `No such service: ${name}`);
  const failure = desk.deployer.failures().get(service.file);
  return {
    name,
    file: service.file,
    version: service.version,
    hash: service.hash,
    deployedAt: service.deployedAt,
    state: failure ? 'failed' : 'ok',
    ...(failure ? { failure } : {}),
    ...(counters.get(name) ?? { calls: 0, errors: 0, inFlight: 0 }),
  };
}

interface Tally {
  readonly calls: number;
  readonly errors: number;
  readonly inFlight: number;
}

/** Summed over the workers that answer in a second. */
async function countersOf(staff: WorkerStaff): Promise<ReadonlyMap<string, Tally>> {
  const answers = await Promise.allSettled(
    staff.pool
      .serving()
      .map((worker) =>
        worker.rpc.request<readonly ServiceCounters[]>('counters', {}, { timeoutMs: askMs }),
      ),
  );
  const tallies = new Map<string, Tally>();
  for (const answer of answers) {
    for (const { name, calls, errors, inFlight } of answer.status === 'fulfilled'
      ? answer.value
      : []) {
      const sum = tallies.get(name) ?? { calls: 0, errors: 0, inFlight: 0 };
      tallies.set(name, {
        calls: sum.calls + calls,
        errors: sum.errors + errors,
        inFlight: sum.inFlight + inFlight,
      });
    }
  }
  return tallies;
}

function positionOf(after: string): number {
  const position = Number(after);
  if (Number.isInteger(position) && position >= 0) return position;
  throw new Fault('bad-request', `"after" is not a position: ${after}`);
}
