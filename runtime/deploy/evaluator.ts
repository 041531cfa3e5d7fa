import { url as inspectorUrl } from 'node:inspector';
import { compileFunction } from 'node:vm';

/** A compiled file, ready to become a function. */
export interface Body {
  readonly code: string;
  /** Names the code uses freely: they become the function's parameters. */
  readonly parameters: readonly string[];
  /** Unique per generation: how stack traces and the inspector name the code. */
  readonly url: string;
  /** Has a top-level await: the function returns a promise. */
  readonly async: boolean;
  /** Source map, JSON; an attached inspector gets it too. */
  readonly map: string;
}

export type ModuleFunction = (...values: readonly unknown[]) => unknown;

export type Evaluate = (body: Body) => ModuleFunction;

type FunctionMaker = new (...parts: string[]) => ModuleFunction;

/** Lines in front of the code: two that V8 adds to a `new Function`, and the directive. */
export const linesBefore = 3;

const AsyncFunction = (async () => undefined).constructor as FunctionMaker;

/**
 * Code to function. `new Function` is the one way whose code is collected again on every supported
 * Node; where code from strings is not allowed (`--disallow-code-generation-from-strings`) it is
 * `vm.compileFunction`, which keeps each generation's code from Node 22 on.
 */
export function evaluateBody(body: Body): ModuleFunction {
  try {
    const Maker = body.async ? AsyncFunction : (Function as unknown as FunctionMaker);
    const text = `${modeOf(body)}\n${body.code}\n${mapComment(body)}//# sourceURL=${body.url}`;
    return new Maker(...body.parameters, text);
  } catch (error) {
    if (error instanceof EvalError) return compileBody(body);
    throw error;
  }
}

/** As `evaluateBody`, without code generation from strings; the same lines in front. */
export function compileBody(body: Body): ModuleFunction {
  const [head, tail] = body.async ? ['return (async () => {', '})()'] : ['', ''];
  const text = `${modeOf(body)} ${head}\n${body.code}\n${tail}\n${mapComment(body)}`;
  return compileFunction(text, body.parameters, {
    filename: body.url,
    lineOffset: linesBefore - 1,
  }) as ModuleFunction;
}

/** ES modules are strict; esbuild wraps what was written as CommonJS, which need not be. */
function modeOf({ code }: Body): string {
  return code.includes('= __commonJS({') ? '' : '"use strict";';
}

function mapComment({ map }: Body): string {
  if (inspectorUrl() === undefined) return '';
  const data = Buffer.from(shifted(map)).toString('base64');
  return `//# sourceMappingURL=data:application/json;base64,${data}\n`;
}

/** The inspector counts the lines in front as well; each is a `;` in the mappings. */
function shifted(map: string): string {
  const parsed: { mappings: string } = JSON.parse(map);
  return JSON.stringify({ ...parsed, mappings: ';'.repeat(linesBefore) + parsed.mappings });
}
