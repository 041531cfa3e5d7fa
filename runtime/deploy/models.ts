import { posix } from 'node:path';
import { Fault } from '../core/fault.ts';
import { Model, type ModelClass } from '../service/model.ts';
import type { ModuleRecord } from './module-record.ts';

/**
 * Finds Model classes by the names they are published under: the file's path from the services
 * folder, without its extension, a dot and the name of the export, as `order-events.OrderEvent`,
 * `crm/customer.Moved` or `../lib/order.OrderLine`.
 */
export class Models {
  readonly #servicesFolder: string;
  readonly #files = new WeakMap<ModuleRecord, string>();

  constructor(servicesFolder: string) {
    this.#servicesFolder = servicesFolder;
  }

  /** Names the classes that a file exports, unless they came from another file. */
  name(record: ModuleRecord): void {
    const { exports } = record;
    if (!isObject(exports)) return;
    for (const key of Object.keys(exports)) {
      const value = exportOf(exports, key);
      if (Model.isClass(value)) Model.setName(value, `${this.#fileOf(record)}.${key}`);
    }
  }

  find(records: Iterable<ModuleRecord>, name: string): ModelClass | undefined {
    const dot = name.lastIndexOf('.');
    const file = name.slice(0, Math.max(dot, 0));
    for (const record of records) {
      if (this.#fileOf(record) !== file || record.state !== 'evaluated') continue;
      const value = isObject(record.exports)
        ? exportOf(record.exports, name.slice(dot + 1))
        : undefined;
      if (Model.isClass(value)) return value;
    }
    return undefined;
  }

  revive(Class: ModelClass | undefined, name: string, value: unknown): unknown {
    if (Class) return Model.fromDict.call(Class, value);
    const dot = name.lastIndexOf('.');
    const file = posix.join(this.#servicesFolder, name.slice(0, Math.max(dot, 0)));
    throw new Fault(
      'not-found',
      `No deployed file exports the Model class ${name}: deploy ${file} with an exported class ${name.slice(dot + 1)}, or redrive the message once it is there`,
    );
  }

  #fileOf(record: ModuleRecord): string {
    const known = this.#files.get(record);
    if (known !== undefined) return known;
    const { file } = record.unit;
    const inner = posix.relative(this.#servicesFolder, file);
    const name = inner.slice(0, inner.length - posix.extname(inner).length);
    this.#files.set(record, name);
    return name;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** In an import cycle an export may not be there yet, and throws. */
function exportOf(exports: object, key: string): unknown {
  try {
    return Object.hasOwn(exports, key) ? Reflect.get(exports, key) : undefined;
  } catch {
    return undefined;
  }
}
