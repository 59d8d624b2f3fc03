/**
 * The type of `parse`: deno-std has none.
 *
 * @module
 */

/**
 * Reads one YAML document.
 *
 * @param options `schema`: the kinds of values that it may hold.
 * @throws {SyntaxError} if the text is not YAML.
 */
export function parse(content: string, options?: { schema?: "core" | "default" }): unknown;
