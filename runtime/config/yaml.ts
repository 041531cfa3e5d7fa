import { type Definition, type DefinitionType, keptNameOrNone } from './definition.ts';
import { type Change, type Definitions, noDefinitions, type Plan, planChanges } from './plan.ts';
import { YamlSource } from './yaml-source.ts';

/** What is wrong in a file, and where: `hence.yaml:31:5`. */
interface ConfigProblem {
  readonly where: string;
  readonly message: string;
}

export interface ConfigSource {
  /** Shown in problems. */
  readonly file: string;
  readonly text: string;
}

export interface ParseOptions extends ConfigSource {
  readonly types: readonly DefinitionType[];
  /** What `${env:NAME}` stands for. */
  readonly env: (name: string) => string | undefined;
  /** What the file's definitions must stand beside; nothing when absent. */
  readonly existing?: Definitions;
}

export interface ParsedConfig {
  /** In the order of the file; empty when there are problems that leave nothing to read. */
  readonly changes: readonly Change[];
  /** By place. Nothing may be applied unless it is empty. */
  readonly problems: readonly ConfigProblem[];
  readonly plan: Plan;
}

/** Reads a configuration file and checks all of it: every problem at once. Writes nothing. */
export async function parseConfig(options: ParseOptions): Promise<ParsedConfig> {
  const { file, text, types, env, existing = noDefinitions } = options;
  const source = new YamlSource(text);
  if (source.readable) source.replaceStrings((string, problem) => resolve(string, env, problem));
  const changes = source.readable ? changesOf(source, types) : [];
  const plan = await planChanges(changes, existing, types);
  const sections = new Map(types.map(({ type, section }) => [type, section]));
  const given = givenNames(changes, types);
  const found = plan.problems.map(({ type, name, path, atKey, message }) => ({
    offset: source.offsetOf(
      [sections.get(type) ?? '', given.get(`${type}/${name}`) ?? name, ...path],
      atKey,
    ),
    message,
  }));
  const problems = [...source.problems, ...found]
    .sort((a, b) => a.offset - b.offset)
    .map(({ offset, message }) => ({ where: `${file}:${source.place(offset)}`, message }));
  return { changes, problems, plan };
}

function changesOf(source: YamlSource, types: readonly DefinitionType[]): readonly Change[] {
  const sections = source.value();
  if (sections === undefined || sections === null) return [];
  const complain = (path: readonly string[], message: string) => {
    source.problems.push({ offset: source.offsetOf(path, true), message });
    return [];
  };
  if (!isMapping(sections)) return complain([], 'the file must be a map of sections');
  const known = new Map(types.map((type) => [type.section, type]));
  return Object.entries(sections).flatMap(([section, named]) => {
    const type = known.get(section);
    if (!type) {
      const names = [...known.keys()].sort().join(', ');
      return complain([section], `unknown section "${section}": there are ${names}`);
    }
    if (named === null) return [];
    if (!isMapping(named)) return complain([section], `${section} must be a map by name`);
    return Object.entries(named).map(([name, spec]): Change => {
      return { action: 'put', type: type.type, name, spec: spec ?? {} };
    });
  });
}

/** How the file spells the names that are kept in another way. */
function givenNames(
  changes: readonly Change[],
  types: readonly DefinitionType[],
): ReadonlyMap<string, string> {
  const known = new Map(types.map((type) => [type.type, type]));
  return new Map(
    changes.flatMap(({ type: noun, name }) => {
      const type = known.get(noun);
      const kept = type?.name && keptNameOrNone(type, name);
      return kept === undefined ? [] : [[`${noun}/${kept}`, name] as const];
    }),
  );
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const reference = /(\$*)\$\{env:([^}]*)\}/g;

/** `${env:NAME}` becomes the variable's value; one more dollar sign in front keeps it as text. */
function resolve(
  text: string,
  env: ParseOptions['env'],
  problem: (message: string) => void,
): string {
  return text.replace(reference, (all: string, dollars: string, name: string) => {
    if (dollars) return all.slice(1);
    const value = env(name);
    if (value === undefined) problem(`the environment has no variable ${name}`);
    return value ?? '';
  });
}

/** The text that `resolve` turns into this one. */
export function escapeReferences(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(reference, (all) => `$${all}`);
  if (Array.isArray(value)) return value.map(escapeReferences);
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, escapeReferences(inner)]),
  );
}

/** What is shown of a definition: no secret. */
export function shownSpec(type: DefinitionType, { name, spec }: Definition): unknown {
  return type.show ? type.show(name, spec) : spec;
}
