/** How stack traces and the inspector name evaluated code: unique per generation of a file. */
export class CodeUrls {
  readonly #counts = new Map<string, number>();

  next(file: string): string {
    const count = (this.#counts.get(file) ?? 0) + 1;
    this.#counts.set(file, count);
    // A source URL may hold neither blanks nor quotes; frames put it in parentheses.
    const path = encodeURIComponent(file).replaceAll('%2F', '/').replace(/['()]/g, percent);
    return `hence:///${path}?v=${count}`;
  }
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16)}`;
}
