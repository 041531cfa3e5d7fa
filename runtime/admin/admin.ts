import { applyConfig, exportConfig } from '../config/apply.ts';
import type { Definition, DefinitionType } from '../config/definition.ts';
import type { IfRevision } from '../config/plan.ts';
import type { DefinitionStore } from '../config/store.ts';
import { shownSpec } from '../config/yaml.ts';
import { Fault } from '../core/fault.ts';
import type { DeployReport } from '../deploy/unit.ts';
import type { LogQuery } from '../log/log-hub.ts';
import type { PingResult } from '../service/ports.ts';
import type {
  ApplyReport,
  ApplyRequest,
  DefinitionView,
  InvocationView,
  InvokeReply,
  InvokeRequest,
  LogLine,
  Page,
  PermissionCheck,
  Readiness,
  RenameReport,
  ServiceView,
  StandinMessage,
  Status,
} from './api.ts';
import { followLog } from './log-stream.ts';
import { limitOf, type PageQuery, pageByName, pageOf } from './page.ts';
import { checkPermission, type PermissionQuery } from './permission-check.ts';
import type {
  InvocationsPort,
  JourneysPort,
  KvdbPort,
  LogsPort,
  MessagesPort,
  OutgoingPort,
  QueuesPort,
  SchedulesPort,
  ServicesPort,
  StandinsPort,
  SystemPort,
} from './ports.ts';
import { renameDefinition } from './rename.ts';

export interface AdminPorts {
  readonly system: SystemPort;
  readonly services: ServicesPort;
  readonly definitions: DefinitionStore;
  /** What `${env:NAME}` stands for in an applied file. */
  readonly env: (name: string) => string | undefined;
  readonly outgoing: OutgoingPort;
  readonly kvdb: KvdbPort;
  readonly standins: StandinsPort;
  readonly invocations: InvocationsPort;
  readonly logs: LogsPort;
  readonly messages: MessagesPort;
  readonly queues: QueuesPort;
  readonly journeys: JourneysPort;
  readonly schedules: SchedulesPort;
}

type Spec = Readonly<Record<string, unknown>>;

interface If {
  readonly ifRevision?: IfRevision;
}

/** Everything an administrator can see and do, whatever the protocol. */
export class Admin {
  readonly #ports: AdminPorts;

  constructor(ports: AdminPorts) {
    this.#ports = ports;
  }

  get messages(): MessagesPort {
    return this.#ports.messages;
  }

  get queues(): QueuesPort {
    return this.#ports.queues;
  }

  get journeys(): JourneysPort {
    return this.#ports.journeys;
  }

  get schedules(): SchedulesPort {
    return this.#ports.schedules;
  }

  status(): Promise<Status> {
    return this.#ports.system.status();
  }

  readiness(): Promise<Readiness> {
    return this.#ports.system.readiness();
  }

  stop(): void {
    this.#ports.system.stop();
  }

  async services(query: PageQuery): Promise<Page<ServiceView>> {
    const all = await this.#ports.services.list();
    return pageByName(
      all.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
      query,
    );
  }

  async service(name: string): Promise<ServiceView> {
    const service = await this.#ports.services.show(name);
    if (service) return service;
    throw new Fault('not-found', `No such service: ${name}`);
  }

  invoke(name: string, request: InvokeRequest & { readonly cid: string }): Promise<InvokeReply> {
    return this.#ports.services.invoke(name, request);
  }

  /** @throws Fault `bad-request` unless `file` is the bare name of a service file. */
  async deployFile(file: string, text: string, check: boolean): Promise<DeployReport> {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.(?:ts|mts|js|mjs)$/.test(file) || /\.\./.test(file)) {
      throw new Fault('bad-request', 'Not a name for a service file, such as "orders.ts"');
    }
    return await this.#ports.services.deployFile(file, text, { check });
  }

  deploys(query: PageQuery): Page<DeployReport> {
    return pageOf(this.#ports.services.reports(), query, {
      nameOf: ({ id }) => String(id),
      follows: ({ id }, after) => id < Number(after),
    });
  }

  definitions(noun: string, query: PageQuery): Page<DefinitionView> {
    const type = this.#type(noun);
    const { items, ...page } = pageByName(this.#ports.definitions.list(noun), query);
    return { items: items.map((one) => viewOf(type, one)), ...page };
  }

  definition(noun: string, name: string): DefinitionView {
    const type = this.#type(noun);
    const definition = this.#ports.definitions.get(noun, name);
    if (definition) return viewOf(type, definition);
    throw new Fault('not-found', `No such ${noun}: ${name}`);
  }

  async createDefinition(noun: string, name: string, spec: Spec): Promise<DefinitionView> {
    const type = this.#type(noun);
    return viewOf(type, await this.#ports.definitions.create(noun, name, spec));
  }

  async putDefinition(
    noun: string,
    name: string,
    spec: Spec,
    options: If,
  ): Promise<DefinitionView> {
    const type = this.#type(noun);
    return viewOf(type, await this.#ports.definitions.put(noun, name, spec, options));
  }

  async patchDefinition(
    noun: string,
    name: string,
    keys: Spec,
    options: If,
  ): Promise<DefinitionView> {
    const type = this.#type(noun);
    return viewOf(type, await this.#ports.definitions.patch(noun, name, keys, options));
  }

  async deleteDefinition(noun: string, name: string, options: If): Promise<void> {
    this.#type(noun);
    await this.#ports.definitions.delete(noun, name, options);
  }

  /** Of a topic or a subscription. */
  async renameDefinition(noun: string, from: string, to: string): Promise<RenameReport> {
    return await renameDefinition(this.#ports.definitions, noun, { from, to });
  }

  checkPermission(query: PermissionQuery): PermissionCheck {
    return checkPermission(this.#ports.definitions, query);
  }

  async applyConfig(request: ApplyRequest, dryRun: boolean): Promise<ApplyReport> {
    const { definitions, env } = this.#ports;
    const { revision, changes } = await applyConfig(definitions, request, { env, dryRun });
    return {
      revision,
      changes: changes.flatMap(({ action, type, name }) =>
        action === 'deleted' ? [] : [{ action, type, name }],
      ),
    };
  }

  exportConfig(): string {
    return exportConfig(this.#ports.definitions, this.#ports.definitions.types);
  }

  ping(name: string, cid: string): Promise<PingResult> {
    return this.#ports.outgoing.ping(name, cid);
  }

  kvdb(command: readonly string[]): Promise<unknown> {
    return this.#ports.kvdb.command(command);
  }

  standin(
    name: string,
  ): Promise<{ readonly url: string; readonly messages: readonly StandinMessage[] }> {
    return this.#ports.standins.show(name);
  }

  clearStandin(name: string): Promise<void> {
    return this.#ports.standins.clear(name);
  }

  async invocations(
    state: InvocationView['state'] | undefined,
    { limit, after }: PageQuery,
  ): Promise<Page<InvocationView>> {
    return await this.#ports.invocations.list({
      limit: limitOf(limit),
      ...(state ? { state } : {}),
      ...(after === undefined ? {} : { after }),
    });
  }

  retryInvocation(id: string): Promise<void> {
    return this.#ports.invocations.retry(id);
  }

  deleteInvocation(id: string): Promise<void> {
    return this.#ports.invocations.delete(id);
  }

  logs(query: LogQuery): readonly LogLine[] {
    return this.#ports.logs.query(query);
  }

  /** Kept lines, then new ones until `signal` aborts. */
  followLogs(query: LogQuery, signal: AbortSignal): AsyncGenerator<LogLine, void, void> {
    return followLog(this.#ports.logs, query, signal);
  }

  #type(noun: string): DefinitionType {
    const type = this.#ports.definitions.types.find((one) => one.type === noun);
    if (type) return type;
    throw new Fault('not-found', `No such type of definition: ${noun}`);
  }
}

function viewOf(type: DefinitionType, definition: Definition): DefinitionView {
  const { name, revision, updatedAt } = definition;
  return { ...Object(shownSpec(type, definition)), name, revision, updatedAt };
}
