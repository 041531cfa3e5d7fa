/** Lets a promise run unawaited; a rejection goes to `onError` instead of ending the process. */
export function background(promise: Promise<unknown>, onError: (error: unknown) => void): void {
  promise.catch(onError);
}
