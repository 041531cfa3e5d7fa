import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import {
  type Body,
  compileBody,
  evaluateBody,
  linesBefore,
} from '../../runtime/deploy/evaluator.ts';

const run = promisify(execFile);
const evaluatorUrl = new URL('../../runtime/deploy/evaluator.js', import.meta.url).href;

const body = (code: string, rest: Partial<Body> = {}): Body => ({
  code,
  parameters: ['exports', 'value'],
  url: 'hence:///services/hello.ts?v=1',
  async: false,
  map: JSON.stringify({ version: 3, sources: ['hello.ts'], names: [], mappings: 'AAAA' }),
  ...rest,
});

/** Evaluates in a process of its own, with these flags. */
async function evaluateIn(flags: readonly string[], script: string): Promise<string> {
  const text = `import { evaluateBody, linesBefore } from ${JSON.stringify(evaluatorUrl)}; ${script}`;
  const args = [...flags, '--input-type=module', '--eval', text];
  const { stdout } = await run(process.execPath, args, { env: {} });
  return stdout.trim();
}

for (const [name, evaluate] of Object.entries({ evaluateBody, compileBody })) {
  describe(name, () => {
    it('gives code its free names', () => {
      const exports: Record<string, unknown> = {};

      evaluate(body('exports.twice = value * 2;'))(exports, 21);

      expect(exports).to.deep.equal({ twice: 42 });
    });

    it('waits where the code awaits', async () => {
      const exports: Record<string, unknown> = {};

      await evaluate(body('exports.later = await value;', { async: true }))(
        exports,
        Promise.resolve(7),
      );

      expect(exports).to.deep.equal({ later: 7 });
    });

    it('runs modules in strict mode, and CommonJS as it was written', () => {
      const made: Record<string, unknown> = {};
      const probe = 'exports.self = (function () { return typeof this; })();';

      evaluate(body(probe))(made, 0);
      const strict = made['self'];
      evaluate(body(`var x = __commonJS({}); function __commonJS() {}; ${probe}`))(made, 0);

      expect([strict, made['self']]).to.deep.equal(['undefined', 'object']);
    });

    for (const async of [false, true]) {
      it(`names the code in stack traces, the same lines down (${async ? 'async' : 'sync'})`, async () => {
        const exports: Record<string, Error> = {};

        await evaluate(body('\n\n  exports.error = new Error("here");', { async }))(exports, 0);

        const place = `hence:///services/hello.ts?v=1:${linesBefore + 3}:19`;
        expect(exports['error']?.stack).to.contain(place);
      });
    }

    it('throws a SyntaxError for code that is none', () => {
      expect(() => evaluate(body('exports ='))).to.throw(SyntaxError);
    });
  });
}

describe('evaluateBody', () => {
  const call = (code: string, async = false) =>
    `const made = {}; await evaluateBody({ code: ${JSON.stringify(code)}, parameters: ['exports'],
       url: 'hence:///a.ts?v=1', async: ${async}, map: '{"version":3,"sources":["a.ts"],"mappings":"AAAA"}' })(made);`;

  it('works where code generation from strings is not allowed', async () => {
    const print =
      "console.log(made.value, made.error.stack.includes('a.ts?v=1:' + (linesBefore + 1) + ':'));";
    for (const async of [false, true]) {
      const value = async ? 'await 7' : '7';
      const script = call(`exports.error = new Error(); exports.value = ${value};`, async) + print;
      const printed = await evaluateIn(['--disallow-code-generation-from-strings'], script);
      expect(printed).to.equal('7 true');
    }
  });

  it('shows an attached inspector the source map, and nobody else', async () => {
    const script = `import { Session, url } from 'node:inspector';
      const session = new Session();
      session.connect();
      session.on('Debugger.scriptParsed', ({ params }) => {
        if (!params.url.startsWith('hence:')) return;
        const data = params.sourceMapURL.split(',')[1] ?? '';
        console.log(params.url, data && JSON.parse(Buffer.from(data, 'base64')).mappings);
      });
      session.post('Debugger.enable');
      ${call('exports.value = 7;')}
      session.disconnect();`;

    const seen = [
      await evaluateIn(['--inspect=127.0.0.1:0'], script),
      await evaluateIn([], script),
    ];

    expect(seen).to.deep.equal(['hence:///a.ts?v=1 ;;;AAAA', 'hence:///a.ts?v=1']);
  });
});
