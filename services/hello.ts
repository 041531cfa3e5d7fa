import { Service } from 'hence';

/** The first service: `curl http://127.0.0.1:11223/hello?name=you`. Edit it while it serves. */
export class World extends Service<{ name: string }> {
  static io = { input: ['-name'], output: ['hello'], defaults: { name: 'world' } };

  handle() {
    return { hello: this.request.input.name };
  }
}
