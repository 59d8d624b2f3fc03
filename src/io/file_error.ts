/**
 * Errors of the file system in this package's words: action, path, reason and remedy.
 *
 * @module
 */

import { FileError } from "../errors.ts";

/**
 * Turns the error of a file operation into a {@linkcode FileError} whose sentence names the action,
 * the path, the reason and the remedy. Any other error is returned as it is: those of this
 * package are sentences already, and a mistake in the code must not look like one in the file.
 *
 * @param action What was tried, as an infinitive: `"open"`, `"write"`.
 */
export function toFileError(action: string, path: string, error: unknown): unknown {
  const sentence = reason(error);
  if (sentence === undefined) return error;
  return new FileError(`Cannot ${action} "${path}": ${sentence}`, { cause: error });
}

/** Whether `error`, or what caused it, is the lack of space on the disk. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ["ENOSPC", "EDQUOT"].includes(codeOf(error) ?? "") || isDiskFull(error.cause);
}

/** Whether the file system does not have an operation. */
export function isUnsupported(error: unknown): boolean {
  return ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(codeOf(error) ?? "");
}

/** The disk is full. */
export class DiskFullError extends FileError {
  override name = "FileError";
  /** Bytes that fitted of what was to be written. */
  readonly written: number;

  /** @param failed The beginning of the sentence, such as `Cannot write "a"`. */
  constructor(failed: string, written: number, cause: unknown) {
    const space = written > 0
      ? ` after ${written} bytes; free more space than these`
      : "; free some space";
    super(`${failed}: the disk is full${space}, or choose another folder, and run again`, {
      cause,
    });
    this.written = written;
  }
}

/** Bytes that fitted before the disk was full, where an error of this package says so; else 0. */
export function bytesThatFitted(error: unknown): number {
  if (error instanceof DiskFullError) return error.written;
  return error instanceof Error ? bytesThatFitted(error.cause) : 0;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as Error & { code?: string }).code : undefined;
}

/** Why the operating system, or Deno, refused; undefined when neither did. */
function reason(error: unknown): string | undefined {
  // Deno's own permission system, as opposed to the operating system's, has an error of its own
  // whose message names the flag to add.
  if (error instanceof Deno.errors.NotCapable) return error.message;
  switch (codeOf(error)) {
    case "ENOENT":
      return "there is no such file or folder; check the path";
    case "EACCES":
    case "EPERM":
      return "the operating system denies access; check the owner and the mode of the file";
    case "EISDIR":
      return "it is a folder; give the path of a file";
    case "ENOTDIR":
      return "a part of the path is a file, not a folder; check the path";
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full; free some space, or choose another folder, and run again";
    case "EROFS":
      return "the file system is read-only; choose another folder";
    case "ENAMETOOLONG":
      return "the name is longer than names may be; check the path";
    case "ELOOP":
      return "its links lead to each other; check the path";
    case "EINVAL":
      // Deno's own words, of a character that no name can have.
      return /NUL byte/.test((error as Error).message)
        ? "no name has the character NUL; check the path"
        : (error as Error).message;
    case "EMFILE":
      return "too many files are open; raise the limit (ulimit -n)";
    case undefined:
      return undefined;
    default:
      return (error as Error).message;
  }
}
