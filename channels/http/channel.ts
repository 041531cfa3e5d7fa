import type { Definition } from '../../runtime/config/definition.ts';
import { noSecurity } from '../../runtime/security/basic-definition.ts';
import {
  bytesOf,
  type ChannelMethod,
  type ChannelSpec,
  type DataFormat,
  timeoutOf,
} from './definition.ts';
import { interned, parsePath, type Segment } from './path-pattern.ts';

/** A channel with everything worked out that does not depend on a request. */
export interface Channel {
  readonly name: string;
  readonly path: string;
  readonly segments: readonly Segment[];
  readonly matchSlash: boolean;
  readonly method: ChannelMethod;
  readonly service: string;
  /** Undefined lets everyone in. */
  readonly security: string | undefined;
  readonly dataFormat: DataFormat;
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  /** Names and values of the reply headers; undefined for none. */
  readonly headers: readonly (readonly [string, string])[] | undefined;
}

export function channelOf({ name, spec }: Pick<Definition<ChannelSpec>, 'name' | 'spec'>): Channel {
  const headers = Object.entries(spec.headers);
  return {
    name,
    path: spec.path,
    segments: parsePath(spec.path),
    matchSlash: spec.matchSlash,
    method: spec.method,
    service: interned(spec.service),
    security: spec.security === noSecurity ? undefined : spec.security,
    dataFormat: spec.dataFormat,
    timeoutMs: timeoutOf(spec.timeout),
    maxBodyBytes: bytesOf(spec.maxBody),
    headers: headers.length === 0 ? undefined : headers,
  };
}
