/**
 * Token ids in messages.
 *
 * @module
 */

/** What knows the spelling of tokens, or does not. */
export interface TokenNames {
  /** The spelling of a token; null for an id that has none. */
  tokenOf?(id: number): string | null;
}

/** An id in words, with the token's spelling where that is known. */
export function showToken(id: number, names: TokenNames | null): string {
  const token = names?.tokenOf?.(id) ?? null;
  return token === null ? `token id ${id}` : `token id ${id} (${JSON.stringify(token)})`;
}
