/** The error a promise rejects with; an error of its own when it does not. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => new Error('The promise was kept'),
    (thrown: unknown) => thrown,
  );
  return outcome instanceof Error ? outcome : new Error(`Not an Error: ${String(outcome)}`);
}
