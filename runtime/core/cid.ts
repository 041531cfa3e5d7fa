import { randomUUID } from 'node:crypto';

const safe = /^[A-Za-z0-9._-]{1,128}$/;

/** A new correlation id: 32 hex digits. */
export function newCid(): string {
  return randomUUID().replaceAll('-', '');
}

/** A caller's correlation id if it is safe to log and send on, else a new one. */
export function cidFrom(value: unknown): string {
  return typeof value === 'string' && safe.test(value) ? value : newCid();
}
