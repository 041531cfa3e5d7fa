import { newCid } from '../../runtime/core/cid.ts';

/** What a client proves with each frame that it is logged in. */
export class Token {
  readonly value = `zwsxt.${newCid()}`;
  #expiresAt: number;

  constructor(ttlMs: number) {
    this.#expiresAt = performance.now() + ttlMs;
  }

  extend(ms: number): void {
    this.#expiresAt += ms;
  }

  /** Each wrong one ends its connection, so nobody can measure how a comparison goes. */
  matches(given: string | undefined): boolean {
    return given === this.value && performance.now() < this.#expiresAt;
  }
}
