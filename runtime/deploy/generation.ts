import type { Logger } from '../log/logger.ts';
import {
  checkService,
  describeService,
  isServiceClass,
  type ServiceClass,
  serviceName,
} from '../service/service-class.ts';
import { ServiceVersion } from '../service/version.ts';
import { closureOf } from './module-graph.ts';
import type { ModuleRecord } from './module-record.ts';
import type { PreparedService, Root } from './unit.ts';

/** Two classes of one file claim one name. */
export class NameTaken extends Error {}

/** One version of one root: its services, and every record they were made from. */
export class Generation {
  readonly root: Root;
  readonly record: ModuleRecord;
  readonly versions: readonly ServiceVersion[];
  readonly services: readonly PreparedService[];
  readonly #ended: (generation: Generation) => void;
  #busy: number;
  #held: readonly ModuleRecord[] = [];
  #deadline: NodeJS.Timeout | undefined;

  /**
   * @param name of the file below the services folder
   * @param ended called after the last call of the last version
   * @throws NameTaken, or what a class says when it is checked
   */
  constructor(
    root: Root,
    source: { readonly record: ModuleRecord; readonly exports: unknown; readonly name: string },
    ended: (generation: Generation) => void,
  ) {
    this.root = root;
    this.record = source.record;
    this.#ended = ended;
    const classes = namedClasses(source.exports, source.name);
    this.versions = [...classes].map(([name, Class]) => this.#version(name, Class));
    this.services = this.versions.map(({ name, ServiceClass: Class, plan }) => {
      const about = describeService(Class, plan);
      return { name, className: Class.name, path: root.path, about };
    });
    this.#busy = this.versions.length;
  }

  /** No version runs any more. */
  get idle(): boolean {
    return this.#busy === 0;
  }

  /** What it was made from, dependents first; nothing before `hold` and after `release`. */
  get records(): readonly ModuleRecord[] {
    return this.#held;
  }

  /** From now on its records stay. */
  hold(): readonly ModuleRecord[] {
    this.#held = closureOf(this.record);
    for (const record of this.#held) record.holders++;
    return this.#held;
  }

  /** Gives its records back; those that nobody else holds are returned, to be disposed. */
  release(): readonly ModuleRecord[] {
    clearTimeout(this.#deadline);
    const held = this.#held;
    this.#held = [];
    for (const record of held) record.holders--;
    return held.filter((record) => record.holders === 0);
  }

  /** Says so when calls still run on it long after it was replaced. */
  reportAfter(ms: number, log: Logger): void {
    if (this.idle) return;
    this.#deadline = setTimeout(() => {
      for (const { name, version, inFlight } of this.versions) {
        if (inFlight > 0)
          log.warn('old version still in use', { service: name, version, inFlight, ms });
      }
    }, ms);
  }

  #version(name: string, Class: ServiceClass): ServiceVersion {
    const { file, path, version, hash } = this.root;
    return new ServiceVersion({
      name,
      file,
      path,
      version,
      hash,
      ServiceClass: Class,
      plan: checkService(Class),
      dispose: () => {
        this.#busy--;
        if (this.idle) this.#ended(this);
      },
    });
  }
}

function namedClasses(exports: unknown, file: string): ReadonlyMap<string, ServiceClass> {
  const values = typeof exports === 'object' && exports !== null ? Object.values(exports) : [];
  const named = new Map<string, ServiceClass>();
  for (const Class of new Set(values.filter(isServiceClass))) {
    const name = serviceName(file, Class);
    const other = named.get(name);
    if (other) {
      const classes = `${other.name} and ${Class.name}`;
      throw new NameTaken(`Service ${name} is claimed by two classes of this file: ${classes}`);
    }
    named.set(name, Class);
  }
  return named;
}
