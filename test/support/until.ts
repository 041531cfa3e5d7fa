/** Polls until the check gives a value that is not false, null or undefined, and gives that value. */
export async function until<T>(
  check: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const value = await check();
    if (value !== false && value !== null && value !== undefined) {
      return value as Exclude<T, false | null | undefined>;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`Not so within ${timeoutMs} ms: ${check}`);
}
