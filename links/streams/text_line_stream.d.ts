/**
 * The type of `TextLineStream`: deno-std has none.
 *
 * @module
 */

/** Splits a stream of text into lines, which end by `\n` or `\r\n`. */
export class TextLineStream extends TransformStream<string, string> {}
