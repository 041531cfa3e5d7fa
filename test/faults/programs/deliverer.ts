import { setTimeout as sleep } from 'node:timers/promises';
import { delivering } from '../../delivery/fixture.ts';
import { LedgerFile } from '../../support/ledger.ts';

/** What a process with services is told to do, as JSON in its first argument. */
export interface DelivererOrder {
  readonly redis: string;
  readonly ledger: string;
  readonly subKey: string;
  readonly concurrency: number;
  readonly maxDeliveries: number;
  /** After so long another process takes over; default as shipped. */
  readonly lockMs?: number;
  /** How long the service goes on after it did what it does. */
  readonly workMs: number;
}

/* Delivers to a service that writes down each message, and that kills its process at the message "poison". */
const order = JSON.parse(process.argv[2] ?? '') as DelivererOrder;
const ledger = new LedgerFile(order.ledger);
const work = async (value: unknown, { message, deliveries }: Work) => {
  ledger.add([order.subKey, message.msgId, deliveries, String(value)]);
  if (value === 'poison') process.kill(process.pid, 'SIGKILL');
  await sleep(order.workMs);
};
const { concurrency, maxDeliveries, lockMs } = order;
const runner = lockMs === undefined ? {} : { lockMs };
const worker = await delivering(order.redis, { services: { work }, runner });
worker.set(order.subKey, { concurrency, maxDeliveries });

interface Work {
  readonly message: { readonly msgId: string };
  readonly deliveries: number;
}
