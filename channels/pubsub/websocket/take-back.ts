import type { BrokerPort } from './ports.ts';

const page = 100;

/** Puts back what the holder before was given and did not settle: nobody else will. */
export async function takeBack(
  broker: Pick<BrokerPort, 'browse' | 'leases' | 'reject'>,
  subKey: string,
): Promise<void> {
  for (;;) {
    const { items } = await broker.browse(subKey, { state: 'leased', limit: page });
    const ids = items.map(({ message }) => message.msgId);
    const leases = (await broker.leases(subKey, ids)).filter((lease) => lease !== undefined);
    if (leases.length === 0) return;
    const rejections = leases.map((lease) => ({ ...lease, countFailure: false }));
    await broker.reject(subKey, rejections);
  }
}
