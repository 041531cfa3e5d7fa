/**
 * The promise's own outcome, or the error made by `late` when `timeoutMs` pass first.
 * The work itself goes on: use an AbortSignal where it can be stopped. With `holds` false the wait alone
 * keeps no process alive.
 */
export async function withDeadline<T>(
  promise: Promise<T>,
  timeoutMs: number,
  late: () => Error,
  { holds = true }: { readonly holds?: boolean } = {},
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), timeoutMs);
    if (!holds) timer.unref();
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
