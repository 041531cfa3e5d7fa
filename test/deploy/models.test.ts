import { expect } from 'chai';
import { Fault } from '../../runtime/index.ts';
import { deliveredCall } from '../../runtime/service/delivered-call.ts';
import type { ServicePublication } from '../../runtime/service/publication.ts';
import { rejection } from '../support/rejection.ts';
import { DeployedProject, type Files } from './deployed-project.ts';

const model = (fields = "orderId = '';") => `import { Model } from 'hence';
  export class OrderEvent extends Model { ${fields} }`;

const publisher = `import { Service } from 'hence';
  import { OrderEvent } from '../lib/order-event.ts';
  export class Pub extends Service {
    async handle() {
      const event = new OrderEvent();
      event.orderId = 'ORD-001';
      return this.publish('orders.events', event);
    }
  }`;

/** Answers whether its own OrderEvent came, and what is in it. */
const subscriber = `import { Service } from 'hence';
  import { OrderEvent } from '../lib/order-event.ts';
  export class Sub extends Service {
    handle() {
      const event = this.request.rawRequest;
      return [event instanceof OrderEvent, JSON.stringify(event)];
    }
  }`;

const files: Files = {
  'lib/order-event.ts': model(),
  'services/pub.ts': publisher,
  'services/sub.ts': subscriber,
};

describe('Models of deployed files', () => {
  const projects: DeployedProject[] = [];

  /** A worker of its own, and what its services have published. */
  async function worker(given: Files) {
    const published: ServicePublication[] = [];
    const publish = async (publication: ServicePublication) => {
      published.push(publication);
      return { msgId: 'zpsm.1', queues: 1, duplicate: false };
    };
    const project = await DeployedProject.create({ ports: { publish } });
    projects.push(project);
    expect((await project.deploy(given)).failures).to.deep.equal([]);
    /** What the service answers to a publication, as it is delivered. */
    const deliver = async (service: string, publication = published.at(-1)) => {
      if (!publication) throw new Error('nothing published');
      const { data, ...meta } = publication;
      const times = { receivedAt: 0, expiresAt: 1 };
      const message = {
        ...meta,
        ...times,
        data: Buffer.from(data),
        msgId: 'zpsm.1',
        topic: 't',
        priority: 5,
      };
      const { reviveModel: revive } = project.loader;
      const call = deliveredCall(service, { subKey: 's', deliveries: 1, message }, { revive });
      return (await project.registry.invoke(call)).payload;
    };
    return { project, published, deliver };
  }

  afterEach(async () => {
    for (const project of projects.splice(0)) await project.stop();
  });

  it('arrive as the class that publisher and subscriber share', async () => {
    const { project, published, deliver } = await worker(files);
    await project.call('pub.pub');
    expect(published[0]).to.include({
      data: '{"orderId":"ORD-001"}',
      dataClass: '../lib/order-event.OrderEvent',
    });
    expect(await deliver('sub.sub')).to.deep.equal([true, '{"orderId":"ORD-001"}']);
  });

  it('arrive as the class in another worker too', async () => {
    const one = await worker(files);
    const other = await worker(files);
    await one.project.call('pub.pub');
    const [publication] = one.published;
    expect(await other.deliver('sub.sub', publication)).to.deep.equal([
      true,
      '{"orderId":"ORD-001"}',
    ]);
  });

  it('arrive as the new class once its file was deployed again, with the new field’s default', async () => {
    const { project, published, deliver } = await worker(files);
    await project.call('pub.pub');
    const [old] = published;

    await project.deploy({ 'lib/order-event.ts': model("orderId = ''; amount = 7;") });

    expect(await deliver('sub.sub', old)).to.deep.equal([true, '{"orderId":"ORD-001","amount":7}']);
    await project.call('pub.pub');
    expect(published[1]).to.include({ data: '{"orderId":"ORD-001","amount":7}' });
    expect(await deliver('sub.sub')).to.deep.equal([true, '{"orderId":"ORD-001","amount":7}']);
  });

  it('arrive in an older worker without the field it does not know', async () => {
    const newer = await worker({
      ...files,
      'lib/order-event.ts': model("orderId = ''; amount = 7;"),
    });
    const older = await worker(files);
    await newer.project.call('pub.pub');
    const answer = await older.deliver('sub.sub', newer.published[0]);
    expect(answer).to.deep.equal([true, '{"orderId":"ORD-001"}']);
  });

  it('arrive as the class a subscriber has when its file could not follow', async () => {
    const { project, deliver } = await worker({
      ...files,
      'services/sub.ts': `${subscriber}
        if ('amount' in new OrderEvent()) throw new Error('too new for me');`,
    });

    const { failures } = await project.deploy({
      'lib/order-event.ts': model("orderId = ''; amount = 7;"),
    });
    expect(failures.map(({ file }) => file)).to.deep.equal(['services/sub.ts']);
    await project.call('pub.pub');

    expect(await deliver('sub.sub')).to.deep.equal([true, '{"orderId":"ORD-001"}']);
  });

  it('reach a subscriber that does not import the class, as an instance all the same', async () => {
    const { project, deliver } = await worker({
      ...files,
      'services/plain.ts': `import { Service, Model } from 'hence';
        export class Plain extends Service {
          handle() {
            const event = this.request.rawRequest as Model;
            return [event instanceof Model, event.constructor.name, event.toDict()];
          }
        }`,
    });
    await project.call('pub.pub');
    expect(await deliver('plain.plain')).to.deep.equal([
      true,
      'OrderEvent',
      { orderId: 'ORD-001' },
    ]);
  });

  it('fail to arrive, saying what to do, while no deployed file exports the class; then arrive', async () => {
    const { project, published } = await worker(files);
    await project.call('pub.pub');
    const alone = await worker({
      'services/sub.ts': `import { Service } from 'hence';
        export class Sub extends Service { handle() { return this.request.input; } }`,
    });

    const error = await rejection(alone.deliver('sub.sub', published[0]));

    expect(error).to.be.instanceOf(Fault).and.include({ code: 'not-found' });
    expect(error.message).to.equal(
      'No deployed file exports the Model class ../lib/order-event.OrderEvent: deploy lib/order-event with an exported class OrderEvent, or redrive the message once it is there',
    );
    await alone.project.deploy({
      'lib/order-event.ts': model(),
      'services/sub.ts': subscriber,
    });
    expect(await alone.deliver('sub.sub', published[0])).to.deep.equal([
      true,
      '{"orderId":"ORD-001"}',
    ]);
    await project.deploy({}, ['services/pub.ts', 'services/sub.ts']);
    expect(project.loader.model('../lib/order-event.OrderEvent', 'sub.sub')).to.equal(undefined);
  });

  it('are named after the file that makes them, below services, in a folder or re-exported', async () => {
    const publish = (name: string) => `async handle() { return this.publish('t', new ${name}()); }`;
    const { project, published, deliver } = await worker({
      'services/crm/moved.ts': `import { Model, Service } from 'hence';
        export class Moved extends Model { static self = Moved; at = new Date(0); }
        export default class extends Model {}
        export class Pub extends Service { ${publish('Moved')} }`,
      'services/index.ts': `export { Moved as Renamed } from './crm/moved.ts';`,
      'services/away.ts': `import { Service } from 'hence';
        import { Renamed } from './index.ts';
        export class Away extends Service {
          handle() { return this.request.input instanceof Renamed; }
          handleGet() { return 0; }
        }
        export class Pub extends Service { ${publish('Renamed')} }`,
    });
    await project.call('crm.moved.pub');
    await project.call('away.pub');
    expect(published.map(({ dataClass }) => dataClass)).to.deep.equal([
      'crm/moved.Moved',
      'crm/moved.Moved',
    ]);
    expect(await deliver('away.away')).to.equal(true);
    const { loader } = project;
    expect(loader.model('index.Renamed', 'away.away')).to.equal(
      loader.model('crm/moved.Moved', 'away.away'),
    );
    expect(loader.model('crm/moved.default', 'away.away')).to.be.a('function');
    for (const name of ['', 'Moved', 'crm/moved.Pub', 'crm/moved.toString', 'moved.Moved']) {
      expect(loader.model(name, 'away.away')).to.equal(undefined);
    }
  });

  it('are refused at once where the class is not exported', async () => {
    const { project, published } = await worker({
      'services/pub.ts': `import { Model, Service } from 'hence';
        class Hidden extends Model {}
        export class Pub extends Service {
          async handle() { return this.publish('t', new Hidden()); }
        }`,
    });
    const error = await rejection(project.call('pub.pub'));
    expect(error).to.include({ code: 'bad-request' });
    expect(error.message).to.contain('class Hidden is not exported from its file');
    expect(published).to.deep.equal([]);
  });
});
