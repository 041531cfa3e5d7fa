/** Remembers about the last `size` to twice as many texts, in two generations: no bookkeeping per use. */
export class RecentCids {
  readonly #size: number;
  #young = new Set<string>();
  #old = new Set<string>();

  constructor(size: number) {
    this.#size = size;
  }

  has(cid: string): boolean {
    return this.#young.has(cid) || this.#old.has(cid);
  }

  add(cid: string): void {
    this.#young.add(cid);
    if (this.#young.size < this.#size) return;
    this.#old = this.#young;
    this.#young = new Set();
  }
}
