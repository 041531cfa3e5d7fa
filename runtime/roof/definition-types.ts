import { channelType } from '../../channels/channel-type.ts';
import { outgoingType } from '../../outgoing/http/definition.ts';
import { endpointType } from '../pubsub/endpoint-definition.ts';
import { permissionType } from '../pubsub/permission-definition.ts';
import { subscriptionType } from '../pubsub/subscription-definition.ts';
import { topicType } from '../pubsub/topic-definition.ts';
import { scheduleType } from '../schedule/schedule-definition.ts';
import { securityType } from '../security/basic-definition.ts';
import type { PasswordHasher } from '../security/password.ts';
import type { Sealer } from '../security/sealer.ts';

/** Every type of definition there is, each with its own spec. */
export function definitionTypes(tools: {
  readonly hasher: PasswordHasher;
  readonly sealer: Sealer;
}) {
  return {
    channel: channelType(),
    outgoing: outgoingType(tools.sealer),
    security: securityType(tools.hasher),
    topic: topicType(),
    subscription: subscriptionType(),
    permission: permissionType(),
    endpoint: endpointType(),
    schedule: scheduleType(),
  } as const;
}

export type DefinitionTypes = ReturnType<typeof definitionTypes>;
