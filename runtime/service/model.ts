import type { StandardSchemaV1 } from '@standard-schema/spec';
import { Fault } from '../core/fault.ts';
import { maxJsonDepth } from '../core/json.ts';
import { jsonText } from './json-value.ts';

/** What `static fields` says of one field: a Model, or with brackets a list of them. */
type FieldModel = ModelClass | readonly [ModelClass];

/** A class that extends Model, as an author writes it. */
export interface ModelClass<Instance extends Model = Model> {
  new (): Instance;
  readonly name: string;
  /** Models within, where a field's default does not tell, as for lists. */
  readonly fields?: Readonly<Record<string, FieldModel>> | undefined;
}

const brand = Symbol.for('hence.Model');
const names = new WeakMap<object, string>();

/**
 * Data with a class of its own. Published by a service it arrives as an instance of the same class;
 * other readers see the JSON object. Its fields are those that have a default, which also tells their
 * type; `null` takes anything.
 *
 *     export class OrderEvent extends Model {
 *       static readonly fields = { lines: [OrderLine] };
 *       orderId = '';
 *       amount = 0;
 *       lines: OrderLine[] = [];
 *     }
 *
 * The class must be exported from its file, which together with its name is how other workers and
 * later versions find it. It also serves as `io.input` of a service (a Standard Schema).
 */
export abstract class Model {
  /** True for a class that extends Model, of any copy of this package. */
  static isClass(value: unknown): value is ModelClass {
    return value !== Model && typeof value === 'function' && brand in value;
  }

  /** Named as it was deployed: a class that several files export keeps its first name. */
  static setName(Class: object, name: string): void {
    if (!names.has(Class)) names.set(Class, name);
  }

  static nameOf(Class: object): string | undefined {
    return names.get(Class);
  }

  /**
   * An instance from plain data: unknown keys are ignored, missing ones keep their default, numbers
   * and Dates may be given as text.
   * @throws Fault `bad-request` naming class and field for a value of another type.
   */
  static fromDict<Instance extends Model>(this: new () => Instance, value: unknown): Instance {
    // biome-ignore lint/complexity/noThisInStatic: the class that was called, not this one
    return build(this, value, this.name);
  }

  static get '~standard'(): StandardSchemaV1.Props {
    // biome-ignore lint/complexity/noThisInStatic: the class that was asked, not this one
    const Class = this as unknown as ModelClass;
    return {
      version: 1,
      vendor: 'hence',
      validate(value) {
        if (value instanceof Class) return { value };
        try {
          return { value: build(Class, value, Class.name) };
        } catch (error) {
          if (!Fault.is(error)) throw error;
          return { issues: [{ message: error.message }] };
        }
      },
    };
  }

  /** Plain data, Models within it included; nothing of it is shared with the instance. */
  toDict(): Record<string, unknown> {
    return dictOf(this, 0);
  }

  /** @throws Fault `bad-request` naming the field that JSON cannot hold. */
  toJson(): string {
    return jsonText(this.toDict(), this.constructor.name);
  }

  /** A copy that shares no list, object or Date with this one. */
  clone(): this {
    return copyOf(this, 0) as this;
  }
}

Object.defineProperty(Model, brand, { value: true });

/** @throws Fault `bad-request` where a reader would refuse the instance, naming the field. */
export function checkModel(model: Model): void {
  const Class = model.constructor as ModelClass;
  build(Class, dictOf(model, 0), Class.name);
}

function build<Instance extends Model>(
  Class: ModelClass<Instance>,
  value: unknown,
  where: string,
): Instance {
  if (!isRecord(value)) throw wrong(where, 'an object', value);
  const model = new Class();
  const presets: Record<string, unknown> = Object.fromEntries(Object.entries(model));
  const fields = Class.fields ?? {};
  const found: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(presets), ...Object.keys(fields)])) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (given === undefined || typeof presets[name] === 'function') continue;
    found[name] = fieldOf(
      { preset: presets[name], model: fields[name] },
      given,
      `${where}.${name}`,
    );
  }
  return Object.assign(model, found);
}

interface Field {
  /** The default. */
  readonly preset: unknown;
  readonly model: FieldModel | undefined;
}

function fieldOf({ preset, model }: Field, given: unknown, where: string): unknown {
  const nothing = preset === null || preset === undefined;
  if (given === null && nothing) return null;
  if (Array.isArray(preset) || isList(model)) return listOf(model, given, where);
  if (model) return build(model, given, where);
  if (preset instanceof Model) return build(preset.constructor as ModelClass, given, where);
  if (preset instanceof Date) return dateOf(given, where);
  switch (typeof preset) {
    case 'number':
      return numberOf(given, where);
    case 'string':
    case 'boolean':
      if (typeof given !== typeof preset) throw wrong(where, `a ${typeof preset}`, given);
      return given;
    case 'object':
      if (!nothing && !isRecord(given)) throw wrong(where, 'an object', given);
      return given;
    default:
      return given;
  }
}

function listOf(model: FieldModel | undefined, given: unknown, where: string): unknown {
  if (!Array.isArray(given)) throw wrong(where, 'a list', given);
  const Class = isList(model) ? model[0] : model;
  return Class ? given.map((item, at) => build(Class, item, `${where}[${at}]`)) : given;
}

/** Text becomes a number, as in Zato 4.x. */
function numberOf(given: unknown, where: string): number {
  const number = typeof given === 'string' && given.trim() !== '' ? Number(given) : given;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  throw wrong(where, 'a number', given);
}

function dateOf(given: unknown, where: string): Date {
  const readable = typeof given === 'string' || typeof given === 'number' || given instanceof Date;
  const date = readable ? new Date(given) : undefined;
  if (date && !Number.isNaN(date.getTime())) return date;
  throw wrong(where, 'a date', given);
}

function dictOf(model: Model, depth: number): Record<string, unknown> {
  const fields = Object.entries(model).filter(([, value]) => typeof value !== 'function');
  return Object.fromEntries(fields.map(([name, value]) => [name, plainOf(value, depth + 1)]));
}

function plainOf(value: unknown, depth: number): unknown {
  requireShallow(depth);
  if (value instanceof Model) return dictOf(value, depth);
  return mapped(value, (item) => plainOf(item, depth + 1));
}

function copyOf(value: unknown, depth: number): unknown {
  requireShallow(depth);
  if (!(value instanceof Model)) return mapped(value, (item) => copyOf(item, depth + 1));
  const copy = new (value.constructor as ModelClass)();
  const fields = Object.entries(value).filter(([, field]) => typeof field !== 'function');
  const copied = fields.map(([name, field]) => [name, copyOf(field, depth + 1)]);
  return Object.assign(copy, Object.fromEntries(copied));
}

/** Lists, plain objects and Dates anew; everything else as it is. */
function mapped(value: unknown, map: (item: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(map);
  if (value instanceof Date) return new Date(value);
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, map(item)]));
}

function requireShallow(depth: number): void {
  if (depth <= maxJsonDepth) return;
  throw new Fault('bad-request', `A Model holds itself, or more than ${maxJsonDepth} levels`);
}

function isList(model: FieldModel | undefined): model is readonly [ModelClass] {
  return Array.isArray(model);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (!isRecord(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function wrong(where: string, wanted: string, given: unknown): Fault {
  return new Fault('bad-request', `${where} must be ${wanted}, not ${shown(given)}`);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return value.length <= 40 ? JSON.stringify(value) : `a text of ${value.length} characters`;
}
