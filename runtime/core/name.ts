/** `SendMessage` -> `send-message`, `HTTPPing` -> `http-ping`, `send_sms` -> `send-sms`. */
export function kebabCase(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1-$2')
    .replace(/[_\s]+/g, '-')
    .toLowerCase();
}

const definitionName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** A name of a definition or a service: 1-128 of `A-Z a-z 0-9 . _ -`, not starting with a sign. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && definitionName.test(value) && !value.includes('..');
}

/** The rule of `isName`, for messages. */
export const nameRule = '1-128 letters, digits, ".", "_" or "-", starting with a letter or a digit';
