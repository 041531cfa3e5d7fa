export const token = 'azGDORePK8gMaC0QOYAMyEEuzJnyUi';
export const user = 'uQiRzpo4DXghDmr9QzzfQu27cmVRsG';

/** The connection as README and hence.yaml define it. */
export const pushoverSpec = {
  url: 'https://api.pushover.net',
  path: '/1/messages.json',
  method: 'POST',
  dataFormat: 'form',
  mode: 'standin',
  timeout: '15s',
  attemptTimeout: '5s',
  connectTimeout: '5s',
  pool: 2,
  maxResponse: 65_536,
  retry: {
    attempts: 2,
    delay: '5s',
    maxDelay: '5s',
    on: ['connect', 'reset', 'timeout', 'invalid', '5xx'],
    methods: ['POST'],
  },
  breaker: { failures: 5, reset: '30s' },
  park: { header: 'X-Limit-App-Reset' },
  banGuard: { refusals: 3, within: '60s', pause: '5m' },
};
