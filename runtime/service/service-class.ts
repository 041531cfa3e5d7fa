import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import { isName, kebabCase, nameRule } from '../core/name.ts';
import { compileIo, type Io, type ServiceIo } from './io.ts';
import { Service } from './service.ts';

/** A class as an author writes it. */
export interface ServiceClass {
  new (): Service<unknown, unknown>;
  readonly name: string;
  readonly serviceName?: string | undefined;
  readonly io?: ServiceIo | undefined;
  readonly timeout?: string | number | undefined;
}

/** A handler or hook as found on a prototype. */
export type Step = (this: Service<unknown, unknown>) => unknown;

/** What is worked out once per class, so that a call looks nothing up. */
export interface ServicePlan {
  readonly io: Io;
  readonly timeoutMs: number | undefined;
  readonly handle: Step | undefined;
  /** HTTP method, upper case -> its own handler. */
  readonly handlers: ReadonlyMap<string, Step>;
  readonly accept: Step | undefined;
  readonly beforeHandle: Step | undefined;
  readonly afterHandle: Step | undefined;
}

const httpMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;

export function isServiceClass(value: unknown): value is ServiceClass {
  return Service.isClass(value);
}

/**
 * `serviceName` if the class sets it, else `<file>.<class>` in kebab-case; folders below `services/`
 * come first: `SendMessage` in `crm/pushover.ts` is `crm.pushover.send-message`.
 * @param file relative to the services folder
 */
export function serviceName(file: string, ServiceClass: ServiceClass): string {
  const given = ServiceClass.serviceName;
  const folders = file.replace(/\.[cm]?[jt]sx?$/, '').split(/[/\\.]/);
  const name = given ?? [...folders, ServiceClass.name].map(kebabCase).join('.');
  if (isName(name)) return name;
  throw new Fault(
    'bad-request',
    `Class ${ServiceClass.name}: "${String(name)}" cannot name a service (${nameRule})`,
  );
}

/**
 * Works out a class's plan and makes one instance, so that a class that cannot serve is refused
 * before it is deployed.
 * @throws whatever the constructor throws, or a Fault that says what is wrong with the statics.
 */
export function checkService(ServiceClass: ServiceClass): ServicePlan {
  const plan = planOf(ServiceClass);
  new ServiceClass();
  return plan;
}

/** @throws Fault `bad-request` when the class has no handler, or a static makes no sense. */
export function planOf(ServiceClass: ServiceClass): ServicePlan {
  const handlers = new Map<string, Step>();
  for (const method of httpMethods) {
    const step = stepOf(ServiceClass, `handle${method[0]}${method.slice(1).toLowerCase()}`);
    if (step) handlers.set(method, step);
  }
  const handle = stepOf(ServiceClass, 'handle');
  if (!handle && handlers.size === 0) {
    throw new Fault('bad-request', `Class ${ServiceClass.name} has no handle method`);
  }
  return {
    io: compileIo(ServiceClass.io, ServiceClass.name),
    timeoutMs: ServiceClass.timeout === undefined ? undefined : parseDuration(ServiceClass.timeout),
    handle,
    handlers,
    accept: stepOf(ServiceClass, 'accept'),
    beforeHandle: stepOf(ServiceClass, 'beforeHandle'),
    afterHandle: stepOf(ServiceClass, 'afterHandle'),
  };
}

/** A class in words and schemas, for `service show`. */
export function describeService(
  ServiceClass: ServiceClass,
  plan: ServicePlan = planOf(ServiceClass),
): unknown {
  return {
    className: ServiceClass.name,
    methods: plan.handlers.size > 0 ? [...plan.handlers.keys()] : ['any'],
    ...(plan.timeoutMs === undefined ? {} : { timeoutMs: plan.timeoutMs }),
    input: plan.io.about.input,
    output: plan.io.about.output,
  };
}

function stepOf(ServiceClass: ServiceClass, name: string): Step | undefined {
  const found: unknown = Reflect.get(ServiceClass.prototype, name);
  return typeof found === 'function' ? (found as Step) : undefined;
}
