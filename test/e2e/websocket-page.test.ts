import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { type Browser, chromium, type Page } from 'playwright-core';
import { admitAll, stopAll, type Worker, worker } from '../channels/pubsub/websocket/fixture.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { root } from '../support/root.ts';
import { until } from '../support/until.ts';

const executablePath = '/usr/bin/chromium';
const page = pathToFileURL(join(root, 'examples/websocket.html')).href;

describe('The example page, in a browser', () => {
  let redis: TestRedis;
  let one: Worker;
  let browser: Browser;

  before(async function () {
    if (!existsSync(executablePath)) {
      console.log(`      skipped: there is no browser at ${executablePath}`);
      this.skip();
    }
    this.timeout(60_000);
    redis = await startRedis();
    one = await worker(redis, 'page');
    await admitAll(one);
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  });

  after(async () => {
    await browser?.close();
    await stopAll();
    await redis?.stop();
  });

  async function loggedIn(password = 'password'): Promise<Page> {
    const tab = await browser.newPage();
    await tab.goto(page);
    await tab.fill('#url', `ws://127.0.0.1:${one.port}/crm`);
    await tab.fill('#username', 'crm');
    await tab.fill('#password', password);
    await tab.fill('#topic', '/customer/created');
    await tab.click('#login button');
    return tab;
  }

  const status = (tab: Page, text: string) =>
    until(async () => (await tab.textContent('#status')) === text);
  const shown = (tab: Page) => tab.locator('#messages li').allTextContents();

  it('logs in, subscribes, publishes and shows what arrives as text', async () => {
    const tab = await loggedIn();
    await status(tab, 'Subscribed to /customer/created');
    await tab.fill('#data', '<b>zażółć</b>');
    await tab.click('#publish button');
    await until(async () => (await shown(tab)).length === 1);
    await one.publish({ n: 2 });
    await until(async () => (await shown(tab)).length === 2);
    expect(await shown(tab)).to.deep.equal([
      '/customer/created: "<b>zażółć</b>"',
      '/customer/created: {"n":2}',
    ]);
    expect(await tab.locator('#messages b').count()).to.equal(0);
    await tab.close();
  });

  it('goes on after a reload where it was', async () => {
    const tab = await loggedIn();
    await status(tab, 'Subscribed to /customer/created');
    await tab.reload();
    await until(() => one.door.size === 0);
    await one.publish('while away');
    await tab.fill('#url', `ws://127.0.0.1:${one.port}/crm`);
    await tab.fill('#username', 'crm');
    await tab.fill('#password', 'password');
    await tab.fill('#topic', '/customer/created');
    await tab.click('#login button');
    await until(async () => (await shown(tab)).length === 1);
    expect(await shown(tab)).to.deep.equal(['/customer/created: "while away"']);
    await tab.close();
  });

  it('says that a password is wrong', async () => {
    const tab = await loggedIn('wrong');
    await status(tab, 'You are not authorized to access this resource');
    await tab.close();
  });
});
