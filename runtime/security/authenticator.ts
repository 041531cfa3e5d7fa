import { Fault } from '../core/fault.ts';
import { type BasicCredentials, parseBasic } from './basic-credentials.ts';
import type { BasicSpec } from './basic-definition.ts';
import { CredentialCache } from './credential-cache.ts';
import type { PasswordHasher } from './password.ts';

/** Who a caller was found to be. */
export interface Principal {
  /** Name of the security definition that let the caller in. */
  readonly name: string;
}

interface Known {
  readonly spec: BasicSpec;
  readonly principal: Principal;
}

/** Answers who is calling, by the security definitions it was last given. */
export class Authenticator {
  readonly #hasher: PasswordHasher;
  readonly #cache = new CredentialCache<Principal>();
  /** Checks under way: a herd of first requests hashes one password once. */
  readonly #checks = new Map<string, Promise<Principal>>();
  #known: ReadonlyMap<string, Known> = new Map();
  #byUser: ReadonlyMap<string, Known> = new Map();

  constructor(hasher: PasswordHasher) {
    this.#hasher = hasher;
  }

  /** From now on exactly these definitions count. */
  update(definitions: Iterable<{ readonly name: string; readonly spec: BasicSpec }>): void {
    const known = new Map<string, Known>();
    for (const { name, spec } of definitions) {
      const before = this.#known.get(name);
      const same = before !== undefined && sameCredentials(before.spec, spec);
      known.set(name, { spec, principal: same ? before.principal : { name } });
    }
    const stale = [...this.#known].some(
      ([name, { principal }]) => known.get(name)?.principal !== principal,
    );
    this.#known = known;
    this.#byUser = new Map([...known.values()].map((one) => [one.spec.username, one]));
    if (!stale) return;
    this.#cache.clear();
    this.#checks.clear();
  }

  /**
   * The caller's principal: at once when the same credentials were found right within a minute.
   * @throws Fault `unauthorized`, never saying which part was wrong; `too-many` when too many wait.
   */
  authenticate(name: string, header: string | undefined): Principal | Promise<Principal> {
    const known = this.#known.get(name);
    // A channel whose definition has not arrived yet lets nobody in.
    if (known === undefined || header === undefined) throw refusal();
    const credentials = parseBasic(header);
    if (credentials === undefined) throw refusal();
    return this.#found(name, known, credentials);
  }

  /** As `authenticate`, for a door whose callers name only themselves: the user name tells the definition. */
  identify(credentials: BasicCredentials): Principal | Promise<Principal> {
    const known = this.#byUser.get(credentials.username);
    // No definition has the empty name, so nobody is ever found under it.
    return this.#found(known?.principal.name ?? '', known, credentials);
  }

  /** The `WWW-Authenticate` header that goes with a refusal. */
  challenge(name: string): string {
    const realm = this.#known.get(name)?.spec.realm ?? 'Hence';
    return `Basic realm="${realm}", charset="UTF-8"`;
  }

  #found(
    name: string,
    known: Known | undefined,
    credentials: BasicCredentials,
  ): Principal | Promise<Principal> {
    const key = this.#cache.keyOf(name, `${credentials.username}\0${credentials.password}`);
    return this.#cache.get(key) ?? this.#checks.get(key) ?? this.#check(key, known, credentials);
  }

  #check(key: string, known: Known | undefined, credentials: BasicCredentials): Promise<Principal> {
    const check = this.#verify(key, known, credentials).finally(() => {
      if (this.#checks.get(key) === check) this.#checks.delete(key);
    });
    this.#checks.set(key, check);
    return check;
  }

  async #verify(
    key: string,
    known: Known | undefined,
    { username, password }: BasicCredentials,
  ): Promise<Principal> {
    // An unknown user costs a hash too, or the time would tell who exists.
    const hash = username === known?.spec.username ? known?.spec.passwordHash : undefined;
    if (!(await this.#hasher.verify(password, hash)) || known === undefined) throw refusal();
    const { principal } = known;
    // The definition may have changed or gone while this password was hashed.
    if (this.#known.get(principal.name)?.principal !== principal) throw refusal();
    this.#cache.add(key, principal);
    return principal;
  }
}

function sameCredentials(one: BasicSpec, other: BasicSpec): boolean {
  return one.username === other.username && one.passwordHash === other.passwordHash;
}

function refusal(): Fault {
  return new Fault('unauthorized', 'Valid credentials are needed');
}
