import type { core } from 'zod';
import { Fault, type FaultCode } from '../core/fault.ts';

/** Why one change of a definition is refused. */
export interface ChangeProblem {
  readonly type: string;
  readonly name: string;
  /** The place inside the spec; empty when it is about the whole definition. */
  readonly path: readonly (string | number)[];
  /** The place is the key itself, not its value. */
  readonly atKey: boolean;
  readonly code: FaultCode;
  /** A sentence that names the definition. */
  readonly message: string;
  /** The same without the name, for a list under it. */
  readonly detail: string;
}

type Place = Pick<ChangeProblem, 'type' | 'name'>;

/** What a schema found wrong, each key that is unknown on its own. */
export function schemaProblems(
  { type, name }: Place,
  spec: unknown,
  issues: readonly core.$ZodIssue[],
): readonly ChangeProblem[] {
  return issues.flatMap(settleUnion).flatMap((issue) => {
    const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
    return details(issue, path, spec).map((found) => ({
      type,
      name,
      code: 'bad-request' as const,
      ...found,
      message: `${type} ${name}: ${found.detail}`,
    }));
  });
}

type Found = Pick<ChangeProblem, 'path' | 'atKey' | 'detail'>;

function details(
  issue: core.$ZodIssue,
  path: readonly (string | number)[],
  spec: unknown,
): readonly Found[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const at = [...path, key];
      return { path: at, atKey: true, detail: `unknown key "${at.join('.')}"` };
    });
  }
  const where = path.join('.');
  if (issue.code !== 'custom' && path.length > 0 && valueAt(spec, path) === undefined) {
    return [{ path, atKey: false, detail: `"${where}" is missing` }];
  }
  return [{ path, atKey: false, detail: where ? `${where}: ${issue.message}` : issue.message }];
}

/** A union says only "Invalid input": the alternative with the fewest complaints was most likely meant. */
function settleUnion(issue: core.$ZodIssue): readonly core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const [closest = []] = issue.errors.toSorted((a, b) => a.length - b.length);
  if (closest.every(({ path }) => path.length === 0)) return [issue];
  return closest
    .map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
    .flatMap(settleUnion);
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = Reflect.get(at, key);
  }
  return at;
}

/** Where in a spec this string stands. */
export function pathOfValue(value: unknown, wanted: string): readonly (string | number)[] {
  if (typeof value !== 'object' || value === null) return [];
  for (const [key, inner] of Object.entries(value)) {
    if (inner === wanted) return [key];
    const deeper = pathOfValue(inner, wanted);
    if (deeper.length > 0) return [Array.isArray(value) ? Number(key) : key, ...deeper];
  }
  return [];
}

/** One Fault for everything that is wrong with a set of changes. */
export function faultOf(problems: readonly ChangeProblem[]): Fault {
  const [first, ...rest] = problems;
  if (!first) return new Fault('internal', 'No problem to report');
  const alone = rest.every(({ type, name }) => type === first.type && name === first.name);
  const list = problems.map(({ type, name, path, detail }) => ({
    ...(alone ? {} : { type, name }),
    path: path.join('.'),
    message: detail,
  }));
  if (rest.length === 0) return new Fault(first.code, first.message, { details: list });
  const what = alone
    ? `${first.type} ${first.name}: ${problems.map(({ detail }) => detail).join('; ')}`
    : `${problems.length} problems: ${problems.map(({ message }) => message).join('; ')}`;
  return new Fault(first.code, what, { details: list });
}
