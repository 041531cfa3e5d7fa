import { usage } from './errors.ts';
import type { Session } from './session.ts';

/** Whether messages may be lost: a person types the name; a program gives --yes and --allow-data-loss. */
export async function mayLose(
  session: Session,
  loss: string,
  name: string,
  allowed: boolean,
): Promise<boolean> {
  if (session.flags.yes === true && (allowed || session.interactive)) return true;
  if (!session.interactive) throw usage(`${loss}: this needs --yes and --allow-data-loss`);
  const { ask } = await import('./prompt.ts');
  return (await ask(`${loss}. Type ${name} to go on: `)).trim() === name;
}

export const allowLoss = [
  '--allow-data-loss',
  'with --yes: do it without a person who types the name',
] as const;
