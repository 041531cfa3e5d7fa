import { expect } from 'chai';
import type { PermissionSpec } from '../../runtime/pubsub/permission-definition.ts';
import { Permissions } from '../../runtime/pubsub/permissions.ts';

const named = (name: string, security: string, spec: Partial<PermissionSpec>) => ({
  name,
  spec: { security, publish: [], subscribe: [], ...spec },
});

describe('Permissions', () => {
  it('deny what nothing allows', () => {
    const permissions = new Permissions();
    expect(permissions.may('user.1', 'publish', 'demo.1')).to.equal(false);
    permissions.update([named('a', 'user.1', { publish: ['demo.1'] })]);
    expect(permissions.may('user.1', 'publish', 'demo.1')).to.equal(true);
    expect(permissions.may('user.1', 'subscribe', 'demo.1')).to.equal(false);
    expect(permissions.may('user.1', 'publish', 'demo.2')).to.equal(false);
    expect(permissions.may('user.2', 'publish', 'demo.1')).to.equal(false);
    for (const name of ['constructor', '__proto__', 'toString', '']) {
      expect(permissions.may(name, 'publish', 'demo.1'), name).to.equal(false);
    }
  });

  it('forget at once what is taken back', () => {
    const permissions = new Permissions();
    permissions.update([named('a', 'u', { publish: ['**'] })]);
    expect(permissions.may('u', 'publish', 'x')).to.equal(true);
    permissions.update([named('a', 'u', { subscribe: ['**'] })]);
    expect(permissions.may('u', 'publish', 'x')).to.equal(false);
    permissions.update([]);
    expect(permissions.may('u', 'subscribe', 'x')).to.equal(false);
  });

  it('add up over the definitions of one user', () => {
    const permissions = new Permissions();
    permissions.update([
      named('a', 'u', { publish: ['a.*'] }),
      named('b', 'u', { publish: ['b.*'] }),
    ]);
    expect(permissions.may('u', 'publish', 'a.1')).to.equal(true);
    expect(permissions.may('u', 'publish', 'b.1')).to.equal(true);
    expect(permissions.may('u', 'publish', 'c.1')).to.equal(false);
  });

  it('explain by the exact pattern first, then the first wildcard in alphabetical order', () => {
    const permissions = new Permissions();
    permissions.update([
      named('z', 'u', { publish: ['**', 'orders.new'] }),
      named('b', 'u', { publish: ['orders.**', 'orders.*'] }),
    ]);
    expect(permissions.explain('u', 'publish', 'orders.new')).to.deep.equal({
      allowed: true,
      pattern: 'orders.new',
      permission: 'z',
      why: 'publish pattern orders.new of permission z matches orders.new',
    });
    expect(permissions.explain('u', 'publish', 'orders.old')).to.deep.include({
      pattern: '**',
      permission: 'z',
    });
    permissions.update([named('b', 'u', { publish: ['orders.**', 'orders.*'] })]);
    expect(permissions.explain('u', 'publish', 'orders.old').pattern).to.equal('orders.*');
    expect(permissions.explain('u', 'publish', 'orders.old.x').pattern).to.equal('orders.**');
  });

  it('explain why not', () => {
    const permissions = new Permissions();
    permissions.update([named('b', 'u', { publish: ['a'] }), named('a', 'u', { publish: ['b'] })]);
    expect(permissions.explain('u', 'subscribe', 'x')).to.deep.equal({
      allowed: false,
      why: 'no subscribe pattern of permission a, b matches x',
    });
    expect(permissions.explain('v', 'publish', 'x')).to.deep.equal({
      allowed: false,
      why: 'no permission names security v',
    });
  });

  it('know who has a permission or a subscription', () => {
    const permissions = new Permissions();
    permissions.update(
      [named('a', 'u', { publish: ['a'] })],
      [
        { name: 's', spec: { security: 'reader' } },
        { name: 't', spec: {} },
      ],
    );
    expect(['u', 'reader', 'stranger', 's'].map((one) => permissions.knows(one))).to.deep.equal([
      true,
      true,
      false,
      false,
    ]);
  });

  it('answer for 10,000 definitions about as fast as a map does, and remember only so much', () => {
    const permissions = new Permissions();
    const all = Array.from({ length: 10_000 }, (_, at) =>
      named(`p${at}`, `user.${at}`, { publish: [`orders.${at}.*`], subscribe: ['replies.**'] }),
    );
    const updateMs = timed(() => permissions.update(all));
    const map = new Map(all.map(({ spec }) => [`publish ${spec.security} orders`, true]));
    const mapMs = timed(() => {
      for (let at = 0; at < 10_000; at++) map.get(`publish user.${at} orders`);
    });
    const ask = () => {
      let allowed = 0;
      for (let at = 0; at < 10_000; at++) {
        if (permissions.may(`user.${at}`, 'publish', `orders.${at}.x`)) allowed++;
        if (permissions.may(`user.${at}`, 'publish', `orders.${at + 1}.x`)) allowed++;
      }
      expect(allowed).to.equal(10_000);
    };
    const coldMs = timed(ask);
    const warmMs = Math.min(timed(ask), timed(ask));
    expect(updateMs).to.be.lessThan(200);
    expect(coldMs).to.be.lessThan(500);
    expect(warmMs / Math.max(mapMs, 0.5)).to.be.lessThan(60);
    for (let at = 0; at < 50_000; at++) permissions.may('user.1', 'publish', `other.${at}`);
    ask();
  });
});

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}
