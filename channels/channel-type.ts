import { z } from 'zod';
import type { DefinitionType } from '../runtime/config/definition.ts';
import { Fault } from '../runtime/core/fault.ts';
import { type ChannelSpec, channelType as httpType } from './http/definition.ts';
import { parsePath, shapeOf } from './http/path-pattern.ts';
import { type WebSocketSpec, webSocketType } from './websocket/definition.ts';
import { normalizePath } from './websocket/path.ts';

export type AnyChannelSpec = ChannelSpec | WebSocketSpec;

/** Channels of every kind, as the store of definitions wants its types described. */
export function channelType(): DefinitionType<AnyChannelSpec> {
  const http = httpType();
  const webSocket = webSocketType();
  return {
    type: 'channel',
    section: 'channels',
    schema: schemaOf(http.schema, webSocket.schema),
    references: (spec) =>
      (spec.type === 'http' ? http.references?.(spec) : webSocket.references?.(spec)) ?? [],
    conflicts(name, spec, others) {
      // Each passes over what is of the other type.
      if (spec.type === 'http') {
        http.conflicts?.(name, spec, others as ReadonlyMap<string, ChannelSpec>);
      } else webSocket.conflicts?.(name, spec, others as ReadonlyMap<string, WebSocketSpec>);
      refuseSharedPath(name, spec, others);
    },
  };
}

export function isHttpChannel<D extends { readonly spec: AnyChannelSpec }>(
  definition: D,
): definition is D & { readonly spec: ChannelSpec } {
  return definition.spec.type === 'http';
}

export function isWebSocketChannel<D extends { readonly spec: AnyChannelSpec }>(
  definition: D,
): definition is D & { readonly spec: WebSocketSpec } {
  return definition.spec.type === 'websocket';
}

/** By `type`, so that only what is wrong with that kind is said. */
function schemaOf(
  http: z.ZodType<ChannelSpec>,
  webSocket: z.ZodType<WebSocketSpec>,
): z.ZodType<AnyChannelSpec> {
  return z.unknown().transform((given, context): AnyChannelSpec => {
    const type = typeOf(given);
    if (type !== undefined && type !== 'http' && type !== 'websocket') {
      context.issues.push({
        code: 'custom',
        path: ['type'],
        message: 'must be http or websocket',
        input: type,
      });
      return z.NEVER;
    }
    const checked = (type === 'websocket' ? webSocket : http).safeParse(given);
    if (checked.success) return checked.data;
    context.issues.push(...(checked.error.issues as z.core.$ZodRawIssue[]));
    return z.NEVER;
  });
}

function typeOf(given: unknown): unknown {
  return typeof given === 'object' && given !== null && 'type' in given ? given.type : undefined;
}

/** A plain request at a WebSocket channel's path is its client's mistake, and must be told so. */
function refuseSharedPath(
  name: string,
  spec: AnyChannelSpec,
  others: ReadonlyMap<string, AnyChannelSpec>,
): void {
  if (!spec.enabled) return;
  // Looked at last: nearly all channels are of one type.
  for (const [other, taken] of others) {
    if (taken.type === spec.type || other === name || !taken.enabled) continue;
    if (pathOf(taken) !== pathOf(spec)) continue;
    throw new Fault(
      'conflict',
      `Channel ${name}: ${spec.path} is the path of channel ${other}, of type ${taken.type}`,
    );
  }
}

/** A store keeps its specs, and compares each new one with all of them. */
const paths = new WeakMap<AnyChannelSpec, string>();

function pathOf(spec: AnyChannelSpec): string {
  let path = paths.get(spec);
  if (path === undefined) {
    path = spec.type === 'http' ? httpPathOf(spec) : normalizePath(spec.path);
    paths.set(spec, path);
  }
  return path;
}

function httpPathOf({ path, matchSlash }: ChannelSpec): string {
  return shapeOf(parsePath(path), matchSlash);
}
