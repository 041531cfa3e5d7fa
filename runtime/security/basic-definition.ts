import { z } from 'zod';
import { Fault } from '../core/fault.ts';
import { isPassword, isUsername, maxPasswordBytes, maxUsernameBytes } from './basic-credentials.ts';
import { isPasswordHash, type PasswordHasher } from './password.ts';

/** A channel says this instead of the name of a definition. */
export const noSecurity = 'none';

/** HTTP Basic. The password is given, its hash is stored and shown. */
export interface BasicSpec {
  readonly type: 'basic';
  readonly username: string;
  /** Only ever given; it wins over `passwordHash`. */
  readonly password?: string | undefined;
  readonly passwordHash?: string | undefined;
  /** What a browser shows when it asks for the password. */
  readonly realm?: string | undefined;
}

const schema: z.ZodType<BasicSpec> = z
  .strictObject({
    type: z.literal('basic').default('basic'),
    username: z
      .string()
      .refine(isUsername, {
        error: `must be 1-${maxUsernameBytes} bytes without ":" and control characters`,
      })
      .transform((name) => name.normalize('NFC')),
    password: z
      .string()
      .refine(isPassword, {
        error: `must be 1-${maxPasswordBytes} bytes without control characters`,
      })
      .optional(),
    passwordHash: z
      .string()
      .refine(isPasswordHash, { error: 'must look like $scrypt$ln=15,r=8,p=3$<salt>$<hash>' })
      .optional(),
    realm: z
      .string()
      .regex(/^[A-Za-z0-9 ._/-]{1,100}$/, {
        error: 'must be 1-100 letters, digits, spaces, ".", "_", "/" or "-"',
      })
      .optional(),
  })
  .refine((spec) => spec.password !== undefined || spec.passwordHash !== undefined, {
    error: 'a password is needed',
    path: ['password'],
  });

/** Security definitions, as the store of definitions wants its types described. */
export function securityType(hasher: PasswordHasher) {
  return {
    type: 'security',
    section: 'security',
    schema,
    conflicts: refuseSameUser,
    async seal(
      _name: string,
      spec: BasicSpec,
      previous: BasicSpec | undefined,
    ): Promise<BasicSpec> {
      const { password, ...rest } = spec;
      if (password === undefined) return rest;
      const stored = previous?.passwordHash;
      // A new salt for an old password would make every apply a change.
      const unchanged = stored !== undefined && (await hasher.verify(password, stored));
      return { ...rest, passwordHash: unchanged ? stored : await hasher.hash(password) };
    },
    show(_name: string, spec: BasicSpec): unknown {
      const { password: _, ...rest } = spec;
      return rest;
    },
  };
}

function refuseSameUser(
  name: string,
  spec: BasicSpec,
  others: ReadonlyMap<string, BasicSpec>,
): void {
  if (name === noSecurity) {
    throw new Fault('bad-request', `A security definition cannot be named "${noSecurity}"`);
  }
  for (const [other, { username }] of others) {
    if (other !== name && username === spec.username) {
      throw new Fault(
        'conflict',
        `Security ${name}: the user name ${username} already belongs to security ${other}`,
      );
    }
  }
}
