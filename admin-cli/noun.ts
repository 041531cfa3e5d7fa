import { type Command, Option } from 'commander';
import type { DefinitionView } from '../runtime/admin/api.ts';
import { usage } from './errors.ts';
import type { Column } from './output.ts';
import type { Options, Session } from './session.ts';
import { readPair, readSet, type Spec, type SpecFlag, setKey } from './spec.ts';

export interface SecretCall {
  readonly session: Session;
  readonly options: Options;
  /** What is to be set so far; secrets are added to it. */
  readonly change: Spec;
  readonly creating: boolean;
}

/** One type of definition, as the CLI knows it. */
export interface Noun {
  /** Singular, also the API's: `channel`. */
  readonly type: string;
  readonly plural: string;
  readonly columns: readonly Column<DefinitionView>[];
  readonly flags: readonly SpecFlag[];
  readonly examples: { readonly create: readonly string[]; readonly edit: readonly string[] };
  /** Dotted keys that `--set` refuses: a command line is seen by every user of the machine. */
  readonly secretKeys?: readonly string[];
  /** Whether a secret may name an environment variable of the runtime instead. */
  readonly secretReferences?: boolean;
  /** Flags that say where a secret comes from. */
  readonly secretFlags?: () => readonly Option[];
  /** Secret flags that `create` misses off a terminal. */
  missingSecrets?(options: Options, change: Spec): readonly string[];
  /** Key whose value is the name when `create` is given none. */
  readonly defaultName?: string;
  /** What deleting it would lose, as a sentence without an end; undefined when that is nothing. */
  lossOf?(session: Session, view: DefinitionView): Promise<string | undefined>;
  /** Told of what was created or edited: it may warn. */
  afterChange?(session: Session, view: DefinitionView): Promise<void>;
  /** Reads secrets into the change; returns one to show once, when it was made here. */
  readSecrets?(call: SecretCall): Promise<string | undefined>;
}

/** Puts the definition's flags on `create` or `edit`. */
export function addSpecFlags(command: Command, noun: Noun): void {
  for (const flag of noun.flags) {
    const option = new Option(flag.flags, flag.about);
    if (flag.choices !== undefined) option.choices(flag.choices);
    if (flag.pairs === true) option.argParser(collect);
    command.addOption(option);
  }
  for (const option of noun.secretFlags?.() ?? []) command.addOption(option);
  command.addOption(
    new Option('--set <key=value>', 'any key, dotted; the value is JSON or text').argParser(
      collect,
    ),
  );
}

/** The runtime reads the variable when it needs it: the name is no secret. */
const environment = /^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$/;

/** What the flags given say of the definition. */
export function readFlags(command: Command, noun: Noun): Spec {
  const spec: Spec = {};
  for (const flag of noun.flags) {
    const option = new Option(flag.flags);
    const given = command.getOptionValue(option.attributeName());
    if (given === undefined || (given === false) !== option.negate) continue;
    readFlag(spec, flag, given);
  }
  for (const text of list(command.getOptionValue('set'))) {
    const [key, value] = readSet(text);
    const named = noun.secretReferences === true && environment.test(String(value));
    if (noun.secretKeys?.includes(key) && !named) {
      throw usage(`${key} is a secret: it is not taken from the command line`, {
        fix: `hence ${noun.type} ${command.name()} --help shows the flags that end in -stdin`,
      });
    }
    setKey(spec, key, value);
  }
  return spec;
}

function readFlag(spec: Spec, flag: SpecFlag, given: unknown): void {
  if (flag.many === true) {
    setKey(spec, flag.key, list(given));
    return;
  }
  if (flag.pairs === true) {
    const pairs = list(given).map((pair) => readPair(pair, flag.flags.split(' ')[0] ?? ''));
    setKey(spec, flag.key, Object.fromEntries(pairs));
    return;
  }
  const text = typeof given === 'string' ? given : undefined;
  setKey(spec, flag.key, text === undefined ? flag.value : (flag.read?.(text) ?? text));
}

function collect(one: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), one];
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
