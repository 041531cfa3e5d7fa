import { promisify } from 'node:util';
import { expect } from 'chai';
import { ModuleTimers } from '../../runtime/deploy/module-timers.ts';
import { until } from '../support/until.ts';

type Timers = [
  typeof setTimeout,
  typeof setInterval,
  typeof setImmediate,
  typeof clearTimeout,
  typeof clearInterval,
  typeof clearImmediate,
];

describe('ModuleTimers', () => {
  let timers: ModuleTimers;
  let own: Timers;

  beforeEach(() => {
    timers = new ModuleTimers();
    own = timers.values as unknown as Timers;
  });

  afterEach(() => timers.close());

  const turns = () => new Promise((resolve) => setTimeout(resolve, 10));

  it('fire as the global ones do, and are forgotten then', async () => {
    const [timeout, interval, immediate, , stop] = own;
    const fired: unknown[] = [];
    timeout((...values: unknown[]) => fired.push(...values), 1, 'timeout', 1);
    immediate((...values: unknown[]) => fired.push(...values), 'immediate');
    const ticking = interval(() => fired.push('tick'), 1);

    await until(
      () => fired.includes('timeout') && fired.includes('immediate') && fired.includes('tick'),
    );
    stop(ticking);

    expect(fired).to.include(1);
    expect(timers.size).to.equal(0);
  });

  it('can be cleared, by anything the global functions take', async () => {
    const [timeout, , immediate, stop, , stopImmediate] = own;
    const fired: string[] = [];
    stop(timeout(() => fired.push('timeout'), 1));
    stop(Number(timeout(() => fired.push('number'), 1)));
    stopImmediate(immediate(() => fired.push('immediate')));
    stop(undefined);
    stopImmediate(undefined);

    await turns();

    expect(fired).to.deep.equal([]);
  });

  it('never fire after the close, started before or after', async () => {
    const [timeout, interval, immediate] = own;
    const fired: string[] = [];
    const start = () => {
      timeout(() => fired.push('timeout'), 1);
      interval(() => fired.push('interval'), 1);
      immediate(() => fired.push('immediate'));
    };
    const again = timeout(() => fired.push('again'), 1);
    start();

    timers.close();
    start();
    again.refresh();
    await turns();

    expect(fired).to.deep.equal([]);
    expect(timers.size).to.equal(0);
  });

  it('keep track of a timeout that is refreshed after it fired', async () => {
    const [timeout] = own;
    let fired = 0;
    const timer = timeout(() => {
      fired++;
    }, 1);
    await until(() => fired === 1);

    timer.refresh();
    expect(timers.size).to.equal(1);
    timers.close();
    await turns();

    expect(fired).to.equal(1);
  });

  it('become promises by promisify', async () => {
    const [timeout, , immediate] = own;

    expect(await promisify(timeout)(1, 'late')).to.equal('late');
    expect(await promisify(immediate)('soon')).to.equal('soon');
  });

  it('refuse at once what is not a function', () => {
    for (const start of own.slice(0, 3)) {
      expect(() => Reflect.apply(start, undefined, ['text', 1])).to.throw(
        TypeError,
        'function, not string',
      );
    }
  });
});
