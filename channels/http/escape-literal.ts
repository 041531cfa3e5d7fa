/** A segment as rou3 reads it: what would be a pattern there is text here. */
export function escapeLiteral(segment: string): string {
  return segment.replace(/[:(){}*+?\\]/g, '\\$&');
}
