import type { DefinitionView } from '../runtime/admin/api.ts';
import { AdminClient } from './client.ts';
import { CliError, usage } from './errors.ts';
import { type ExitCode, exitCode } from './exit-code.ts';
import { type Noun, readFlags } from './noun.ts';
import type { Call, Session } from './session.ts';
import { getKey, patchOf, type Spec, type SpecFlag, setKey } from './spec.ts';

/** `create NAME`: asks for what is missing on a terminal; elsewhere names every missing flag. */
export async function createDefinition(noun: Noun, call: Call, given: string): Promise<ExitCode> {
  const { session, options } = call;
  const change = readFlags(call.command, noun);
  const missing = noun.flags.filter(
    ({ required, key, unless }) =>
      required === true &&
      getKey(change, key) === undefined &&
      (unless === undefined || getKey(change, unless) === undefined),
  );
  if (session.interactive) await askFor(missing, noun, given, change);
  else
    refuseMissing(noun, given, [
      ...missing.map((flag) => flag.flags),
      ...(noun.missingSecrets?.(options, change) ?? []),
    ]);
  const secret = await noun.readSecrets?.({ session, options, change, creating: true });
  const path = AdminClient.path('definitions', noun.type);
  const name = given === '' ? getKey(change, noun.defaultName ?? '') : given;
  const view = await session.client.send<DefinitionView>('POST', path, {
    json: { name, ...change },
  });
  const sentence = `${noun.type} ${view.name} created, revision ${view.revision}`;
  await report(session, sentence, view, secret);
  await noun.afterChange?.(session, view);
  return exitCode.ok;
}

/** `edit NAME`: patches what the flags say, on top of the revision it has just read. */
export async function editDefinition(noun: Noun, call: Call, name: string): Promise<ExitCode> {
  const { session, options } = call;
  const change = readFlags(call.command, noun);
  const byHand = Object.keys(change).length === 0 && !givesSecret(noun, call);
  if (byHand && !session.interactive) {
    throw usage(`${noun.type} edit needs a flag that says what to change`, {
      fix: `hence ${noun.type} edit --help`,
    });
  }
  const secret = await noun.readSecrets?.({ session, options, change, creating: false });
  const path = AdminClient.path('definitions', noun.type, name);
  const before = await session.client.get<DefinitionView>(path);
  if (byHand) return editByHand(noun, session, path, before);
  const view = await session.client.send<DefinitionView>('PATCH', path, {
    json: patchOf(before, change),
    revision: before.revision,
  });
  await reportChange(noun, session, before, view, secret);
  await noun.afterChange?.(session, view);
  return exitCode.ok;
}

function givesSecret(noun: Noun, { command }: Call): boolean {
  const names = noun.secretFlags?.().map((flag) => flag.attributeName()) ?? [];
  return names.some((name) => command.getOptionValueSource(name) === 'cli');
}

async function editByHand(
  noun: Noun,
  session: Session,
  path: string,
  before: DefinitionView,
): Promise<ExitCode> {
  const { Draft } = await import('./draft.ts');
  const { name, revision, updatedAt: _, ...spec } = before;
  const file = `${noun.type}-${name}`.replace(/[^A-Za-z0-9._-]/g, '_');
  const draft = await Draft.write(`${file}.yaml`, spec);
  const edited = await draft.edit();
  if (edited === undefined) {
    session.out.hint('nothing changed');
    return exitCode.ok;
  }
  try {
    const view = await session.client.send<DefinitionView>('PUT', path, { json: edited, revision });
    await draft.remove();
    await reportChange(noun, session, before, view, undefined);
    return exitCode.ok;
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    throw new CliError(error.exitCode, error.message, {
      where: draft.path,
      problems: error.problems,
      fix: 'your text is kept in that file',
      cause: error,
    });
  }
}

async function askFor(
  missing: readonly SpecFlag[],
  noun: Noun,
  name: string,
  change: Spec,
): Promise<void> {
  if (missing.length === 0) return;
  const { ask } = await import('./prompt.ts');
  const typed: string[] = [];
  for (const flag of missing) {
    const flagName = flag.flags.split(' ')[0] ?? '';
    const text = (await ask(`${flag.about} (${flagName}): `)).trim();
    if (text === '') throw usage(`${noun.type} create needs ${flagName}`);
    setKey(change, flag.key, flag.many ? text.split(/[\s,]+/) : (flag.read?.(text) ?? text));
    typed.push(`${flagName} ${text}`);
  }
  process.stderr.write(`same as: hence ${noun.type} create ${name} ${typed.join(' ')}\n`);
}

function refuseMissing(noun: Noun, name: string, missing: readonly string[]): void {
  if (missing.length === 0) return;
  throw usage(`${noun.type} create needs ${missing.join(', ')}`, {
    fix: ['hence', noun.type, 'create', name, ...missing].filter((word) => word !== '').join(' '),
  });
}

async function reportChange(
  noun: Noun,
  session: Session,
  before: DefinitionView,
  view: DefinitionView,
  secret: string | undefined,
): Promise<void> {
  const verb = view.revision === before.revision ? 'unchanged' : 'changed';
  const sentence = `${noun.type} ${view.name} ${verb}, revision ${view.revision}`;
  await report(session, sentence, view, secret);
}

/** The one line of success; a secret made here is data, shown this once. */
async function report(
  session: Session,
  sentence: string,
  view: DefinitionView,
  secret: string | undefined,
): Promise<void> {
  const { out } = session;
  if (secret === undefined) return out.done(sentence, view.name, view);
  if (!out.forPeople) return out.done(sentence, view.name, { ...view, password: secret });
  await out.done(sentence, view.name, view);
  out.data(`password  ${secret}`);
  out.hint('it is shown this once: keep it');
}
