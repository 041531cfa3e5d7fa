// Of XML 1.0, section 2.2; everything else cannot even be escaped.
const foreign = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u;
const foreigners = new RegExp(foreign, 'gu');
const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  // A parser makes a line feed of a bare one.
  '\r': '&#13;',
};

/** Whether XML can hold the text, and give it back as it was. */
export function isXmlText(text: string): boolean {
  return !foreign.test(text);
}

/** As Zato 2.0 writes it (huTools' `dict2xml`): in `<data>`, by the alphabet, the items of a list as `<item>`. */
export function xmlOf(value: unknown): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<data>${contentOf(value)}</data>`;
}

function contentOf(value: unknown): string {
  if (Array.isArray(value)) return value.map((item) => element('item', item)).join('');
  if (typeof value !== 'object' || value === null) return textOf(value);
  const fields = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return fields.map(([name, field]) => element(name, field)).join('');
}

function element(name: string, value: unknown): string {
  return `<${name}>${contentOf(value)}</${name}>`;
}

/** What XML cannot hold is shown as a replacement character: a payload never comes so far. */
function textOf(value: unknown): string {
  return String(value ?? '')
    .replace(foreigners, '\uFFFD')
    .replace(/[&<>\r]/g, (sign) => escapes[sign] ?? sign);
}
