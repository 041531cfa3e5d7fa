const around = 2;
const widest = 160;

/** The lines around a place, numbered, with `>` at its line and `^` under its column (both from 1). */
export function codeFrame(text: string, line: number, column = 1): string {
  const lines = text.split(/\r\n|\r|\n/);
  const first = Math.max(1, line - around);
  const last = Math.min(lines.length, line + around);
  const digits = String(last).length;
  const out: string[] = [];
  for (let number = first; number <= last; number++) {
    const source = lines[number - 1] ?? '';
    const mark = number === line ? '>' : ' ';
    out.push(`${mark} ${String(number).padStart(digits)} | ${clip(source)}`.trimEnd());
    if (number === line) {
      out.push(`  ${' '.repeat(digits)} | ${indent(source, column)}^`);
    }
  }
  return out.join('\n');
}

function clip(source: string): string {
  return source.length > widest ? `${source.slice(0, widest)}...` : source;
}

/** As wide as what stands before the column, tabs kept, so that the marker lines up. */
function indent(source: string, column: number): string {
  return source.slice(0, Math.min(column - 1, widest)).replace(/[^\t]/g, ' ');
}
