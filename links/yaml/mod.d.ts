/**
 * The type of `parse`: deno-std has none.
 *
 * @module
 */

/**
 * Reads one YAML document.
 *
 * @throws {SyntaxError} if the text is not YAML.
 */
export function parse(content: string): unknown;
