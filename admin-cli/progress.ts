const afterMs = 1_000;
const linesEveryMs = 5_000;
const paintEveryMs = 100;

/** How far a long work is, on stderr: one line that changes on a terminal, else one each 5 s. */
export class Progress {
  readonly #terminal = process.stderr.isTTY;
  readonly #quiet: boolean;
  readonly #startedAt = Date.now();
  #shownAt = Date.now();
  #painted = false;

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  show(text: string): void {
    const now = Date.now();
    const every = this.#terminal ? paintEveryMs : linesEveryMs;
    if (this.#quiet || now - this.#startedAt < afterMs || now - this.#shownAt < every) return;
    this.#shownAt = now;
    this.#painted = this.#terminal;
    process.stderr.write(this.#terminal ? `\r\u001b[K${text}` : `${text}\n`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#painted) process.stderr.write('\r\u001b[K');
    this.#painted = false;
  }
}
