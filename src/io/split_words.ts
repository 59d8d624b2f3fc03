/**
 * The words by which the name of a file or folder tells its split, as the Hugging Face hub has them.
 *
 * @module
 */

/** Each split, and the words that stand for it. */
export const SPLIT_WORDS: readonly [split: string, words: readonly string[]][] = [
  ["train", ["train", "training"]],
  ["validation", ["validation", "valid", "dev", "val"]],
  ["test", ["test", "testing", "eval", "evaluation"]],
];
