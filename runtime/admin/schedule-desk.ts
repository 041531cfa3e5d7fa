import type { Definition, DefinitionType } from '../config/definition.ts';
import type { DefinitionStore } from '../config/store.ts';
import { Fault } from '../core/fault.ts';
import { type ScheduleSpec, scheduleType } from '../schedule/schedule-definition.ts';
import type { Schedules } from '../schedule/schedules.ts';
import type { Page } from './api.ts';
import { type PageQuery, pageByName } from './page.ts';
import type { SchedulesPort } from './ports.ts';
import type { ManualRun, ScheduleView } from './schedule-api.ts';

export interface ScheduleDeskOptions {
  readonly definitions: DefinitionStore;
  /** Made at its first use. */
  readonly schedules: () => Promise<Pick<Schedules, 'describe' | 'detail' | 'run'>>;
  /** How long a run by hand is waited for; default 60 s. */
  readonly waitMs?: number;
}

/** What an operator sees and does of schedules. */
export class ScheduleDesk implements SchedulesPort {
  readonly #options: ScheduleDeskOptions;
  readonly #type: DefinitionType<ScheduleSpec> = scheduleType();

  constructor(options: ScheduleDeskOptions) {
    this.#options = options;
  }

  async list(query: PageQuery): Promise<Page<ScheduleView>> {
    const all = this.#options.definitions.list(this.#type);
    const { items, ...page } = pageByName(all, query);
    const states = await (await this.#options.schedules()).describe(items);
    const views = states.flatMap((state, at) => {
      const definition = items[at];
      return definition ? [{ ...viewOf(definition), ...state }] : [];
    });
    return { items: views, ...page };
  }

  async show(name: string): Promise<ScheduleView> {
    const definition = this.#find(name);
    const { state, ...rest } = await (await this.#options.schedules()).detail(definition);
    return { ...viewOf(definition), ...state, ...rest };
  }

  async run(
    name: string,
    { cid, wait }: { readonly cid: string; readonly wait: boolean },
  ): Promise<ManualRun> {
    const definition = this.#find(name);
    const { waitMs = 60_000 } = this.#options;
    const schedules = await this.#options.schedules();
    return await schedules.run(definition, { cid, ...(wait ? { waitMs } : {}) });
  }

  #find(name: string): Definition<ScheduleSpec> {
    const definition = this.#options.definitions.get(this.#type, name);
    if (definition) return definition;
    throw new Fault('not-found', `No such schedule: ${name}`);
  }
}

function viewOf({ name, revision, updatedAt, spec }: Definition<ScheduleSpec>) {
  return { ...spec, name, revision, updatedAt };
}
